import assert from "node:assert/strict";
import { validateConfig } from "../../mod.ts";
import { readConnection } from "../../src/cli/connection.ts";
import { listProperties, optionsOf, parseProperties } from "../../src/cli/properties.ts";
import { parseProduce } from "../../src/cli/produce_command.ts";
import type { Words } from "../../src/cli/words.ts";
import { test } from "../harness.ts";
import { refusal, world } from "./world.ts";

const never = () => Promise.reject(new TypeError("no file is read"));

function options(given: Record<string, string>, kind: "producer" | "reader" = "producer", readText = never as never) {
  const properties = Object.entries(given).map(([name, value]) => ({ name, value, source: "command line" as const }));
  return optionsOf(properties, kind, readText);
}

test("cli properties: those of Java and of librdkafka become our options", async () => {
  assert.deepEqual(
    await options({
      "acks": "1",
      "linger.ms": "5",
      "compression.type": "zstd",
      "compression.zstd.level": "7",
      "queue.buffering.max.kbytes": "64",
      "enable.idempotence": "false",
      "max.in.flight.requests.per.connection": "1",
      "security.protocol": "SASL_SSL",
      "sasl.mechanisms": "SCRAM-SHA-512",
      "sasl.username": "u",
      "sasl.password": "12345",
      "enable.ssl.certificate.verification": "false",
      "maxBlockMs": "7",
      "retries": "3",
    }),
    {
      acks: 1,
      lingerMs: 5,
      compression: { codec: "zstd", level: 7 },
      bufferMemory: 65_536,
      idempotent: false,
      maxInFlight: 1,
      securityProtocol: "sasl_ssl",
      sasl: { mechanism: "SCRAM-SHA-512", username: "u", password: "12345" },
      tls: { verify: "none" },
      maxBlockMs: 7,
      retries: 3,
    },
  );
  assert.deepEqual(await options({ "isolation.level": "read_uncommitted", "auto.offset.reset": "latest" }, "reader"), {
    isolation: "read_uncommitted",
    onMissingOffset: "end",
  });
});

test("cli properties: certificates are read from their files, and JAAS is understood", async () => {
  const files: Record<string, string> = {
    "ca.pem": "CA",
    "store.pem": "-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----",
    "store.jks": "\u0001\u0002",
  };
  const readText = ((file: string) => Promise.resolve(files[file])) as never;
  const read = (given: Record<string, string>) => options(given, "producer", readText);
  assert.deepEqual(await read({ "ssl.ca.location": "ca.pem", "ssl.keystore.location": "store.pem" }), {
    tls: { ca: "CA", cert: files["store.pem"], key: files["store.pem"] },
  });
  assert.match(
    await refusal(() => read({ "ssl.truststore.location": "store.jks" })),
    /ssl.truststore.location is no PEM/,
  );
  const jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="a\\"b";';
  assert.deepEqual(await read({ "sasl.jaas.config": jaas }), {
    sasl: { username: "u", password: 'a"b', mechanism: "PLAIN" },
  });
});

test("cli properties: what is unknown or wrong is refused, near misses are guessed, and secrets aren't shown", async () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ "linger.m": "5" }, /^Unknown property "linger.m", did you mean linger.ms\?$/],
    [{ "nosuch.thing.at.all": "5" }, /^Unknown property "nosuch.thing.at.all", see -X list$/],
    [{ "linger.ms": "soon" }, /^Property linger.ms is "soon", wanted a whole number$/],
    [{ "enable.idempotence": "yes" }, /wanted true or false$/],
    [{ "security.protocol": "tls" }, /wanted plaintext, ssl, sasl_plaintext, sasl_ssl$/],
    [{ "isolation.level": "x" }, /is none of a producer, see -X list$/],
    [{ "compression.level": "3" }, /^Give compression.type as well/],
    [{ "sasl.jaas.config": "s3cret" }, /^No username="…" password="…" is in sasl.jaas.config, wanted both$/],
    [{ "__proto__": "1" }, /^Unknown property "__proto__"/],
    [{ "tls.verify.mode": "none" }, /^Unknown property "tls.verify.mode", see -X list$/],
    [{ "sasl.mechanism.s": "PLAIN" }, /^Unknown property "sasl.mechanism.s", did you mean sasl.mechanism\?$/],
  ];
  for (const [given, pattern] of cases) {
    const pairs = Object.entries(given).length === 0 ? [["__proto__", "1"]] : Object.entries(given);
    const properties = pairs.map(([name, value]) => ({ name: name!, value: value!, source: "command line" as const }));
    const message = await refusal(() => optionsOf(properties, "producer", never));
    assert.match(message, pattern);
    assert.doesNotMatch(message, /s3cret/);
  }
});

test("cli properties: a file has lines as Java writes them or JSON, and what is for others in it is left out", async () => {
  const lines = parseProperties(
    "# c\n! d\n\nbootstrap.servers = a:1,\\\n  b:2\nlinger.ms: 5\nx.y=a=b # no comment\n",
    "f",
  );
  assert.deepEqual(lines.map(({ name, value }) => [name, value]), [
    ["bootstrap.servers", "a:1,b:2"],
    ["linger.ms", "5"],
    ["x.y", "a=b # no comment"],
  ]);
  assert.match(
    await refusal(() => parseProperties("ok=1\ns3cret\n", "f")),
    /^Line 2 of "f" is no property, wanted name=value$/,
  );
  assert.match(await refusal(() => parseProperties("{s3cret", "f")), /^File "f" begins as JSON and is none/);
  const json = parseProperties('{"lingerMs": 5, "sasl.username": "u", "tls": {"verify": "ca"}}', "f");
  assert.deepEqual(await optionsOf(json, "producer", never), {
    lingerMs: 5,
    sasl: { username: "u" },
    tls: { verify: "ca" },
  });
  const shared = parseProperties("group.id=g\nkey.serializer=x\nlinger.ms=5\nisolation.level=read_uncommitted\n", "f");
  assert.deepEqual(await optionsOf(shared, "reader", never), { isolation: "read_uncommitted" });
});

test("cli properties: the command line wins over the file, and brokers come from the first that names some", async () => {
  const wordsOf = (given: Record<string, string[]>): Words => ({
    one: (name) => given[name]?.at(-1),
    all: (name) => given[name] ?? [],
    has: (name) => given[name] !== undefined,
    positionals: [],
  });
  const io = world(["bootstrap.servers=file:1\nlinger.ms=5\nacks=1\n"]);
  const env = { KAFKA_BROKERS: "env:1" };
  const read = (given: Record<string, string[]>) => readConnection(wordsOf(given), { ...io, env }, "producer");
  assert.deepEqual(await read({ config: ["f"], property: ["linger.ms=7"] }), {
    brokers: "file:1",
    acks: 1,
    lingerMs: 7,
  });
  const words = wordsOf({ config: ["f"], topic: ["t"], acks: ["all"] });
  assert.equal((await parseProduce(words, { ...io, env })).producer["acks"], "all");
  assert.equal((await read({ config: ["f"], brokers: ["flag:1"] })).brokers, "flag:1");
  assert.equal((await read({})).brokers, "env:1");
  assert.match(
    await refusal(() => read({ config: ["missing"] })),
    /^Cannot read "missing": no such file, wanted a file of text$/,
  );
  // As Java's kafka-topics.sh has it.
  assert.match(
    await refusal(() => read({ config: ["missing.ms=5"] })),
    /wanted a file of text \(a property by itself is -X NAME=VALUE, the config of a topic --set NAME=VALUE\)$/,
  );
});

test("cli properties: the list names each with ours", () => {
  const list = listProperties("producer");
  assert.match(list, /\n {2}linger\.ms +lingerMs\n/);
  assert.match(list, /security\.protocol +securityProtocol \(plaintext, ssl, sasl_plaintext, sasl_ssl\)/);
  assert.doesNotMatch(list, /isolation/);
  assert.match(listProperties("reader"), /isolation\.level +isolation\n/);
});

const CONFLUENT_CLOUD = `# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-1.eu-west-1.aws.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='s3=cr"et';
sasl.mechanism=PLAIN
# Required for correctness in Apache Kafka clients prior to 2.6
client.dns.lookup=use_all_dns_ips

# Best practice for higher availability in Apache Kafka clients prior to 3.0
session.timeout.ms=45000

# Best practice for Kafka producer to prevent data loss
acks=all

# Required connection configs for Confluent Cloud Schema Registry
schema.registry.url=https://psrc-1.eu-west-1.aws.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=KEY:SECRET
`;

test("cli properties: the file that Confluent Cloud shows is taken as it is, by every kind of client", async () => {
  const common = {
    brokers: "pkc-1.eu-west-1.aws.confluent.cloud:9092",
    securityProtocol: "sasl_ssl",
    sasl: { username: "KEY", password: 's3=cr"et', mechanism: "PLAIN" },
  };
  const properties = parseProperties(CONFLUENT_CLOUD, "f");
  assert.deepEqual(await optionsOf(properties, "producer", never), { ...common, acks: "all" });
  for (const kind of ["reader", "admin"] as const) {
    assert.deepEqual(await optionsOf(properties, kind, never), common);
  }
});

test("cli properties: what a file says for members of groups is left out, and told on a command line", async () => {
  const lines = [
    ...[
      "enable.auto.commit=false",
      "max.poll.records=500",
      "max.poll.interval.ms=300000",
      "heartbeat.interval.ms=3000",
    ],
    ...["auto.commit.interval.ms=5000", "partition.assignment.strategy=range", "group.instance.id=a", "linger.ms=5"],
  ];
  assert.deepEqual(await optionsOf(parseProperties(lines.join("\n"), "f"), "producer", never), { lingerMs: 5 });
  assert.match(
    await refusal(() => options({ "session.timeout.ms": "45000" })),
    /^Property "session.timeout.ms" is none here, leave it out: sluice tail reads without a group$/,
  );
  // A slip is one in a file too.
  assert.match(
    await refusal(() => optionsOf(parseProperties("session.timeot.ms=1\n", "f"), "producer", never)),
    /^Unknown property "session.timeot.ms"/,
  );
});

test("cli properties: JAAS may have single quotation marks, or none", async () => {
  const module = "org.apache.kafka.common.security.scram.ScramLoginModule required";
  for (const fields of [`username='u' password='p w'`, `username="u" password="p w"`, `password='p w' username=u`]) {
    assert.deepEqual(await options({ "sasl.jaas.config": `${module} ${fields};` }), {
      sasl: { username: "u", password: "p w" },
    });
  }
});

test("cli properties: a comment ends with its line, whatever stands at its end", () => {
  const lines = parseProperties("# C:\\certs\\\nlinger.ms=5\nx=a\\\\\nacks=1\n", "f");
  assert.deepEqual(lines.map(({ name, value }) => [name, value]), [["linger.ms", "5"], ["x", "a\\"], ["acks", "1"]]);
});

test("cli properties: a text of JAAS that ends in its middle is refused, and isn't shown", async () => {
  const jaas = (fields: string) => ({ "sasl.jaas.config": `x.PlainLoginModule required ${fields}` });
  for (
    const fields of [
      `username="u" password=s3cret'x;`,
      `username="u" password='s3cret's';`,
      `username="u" password="s3cret"s";`,
      `username="u" password=s3cret;x;`,
      `username="u" password=s3cret"x y";`,
      `username=u's password="s3cret";`,
    ]
  ) {
    const message = await refusal(() => options(jaas(fields)));
    assert.match(message, /^A quotation mark or a semicolon in sasl.jaas.config belongs to no text/);
    assert.doesNotMatch(message, /s3cret/);
  }
  for (
    const [fields, password] of [
      [`username="u" password="p" ; `, "p"],
      [`username="u"password='p'`, "p"],
      [`username = u password = p-1;`, "p-1"],
      [`username=u password=a=b== serviceName=kafka;`, "a=b=="],
      [`password="it's; a \\"\\\\\\" username=x" username='u';`, `it's; a "\\" username=x`],
      [`username=u password='it\\'s "so"; username=x';`, `it's "so"; username=x`],
      [`username=u password="";`, ""],
    ] as const
  ) {
    const { sasl } = await options(jaas(fields));
    assert.deepEqual(sasl, { username: "u", password, mechanism: "PLAIN" });
  }
});

test("cli properties: a line that goes on with a mark of comments is none, and goes on in turn", () => {
  const read = (text: string) => parseProperties(text, "f").map(({ name, value }) => [name, value]);
  for (const end of ["\n", "\r\n"]) {
    const lines = (...all: string[]) => all.join(end);
    assert.deepEqual(read(lines("a=1\\", "#2\\", "!3\\", "  #4", "b=5")), [["a", "1#2!3#4"], ["b", "5"]]);
    assert.deepEqual(read(lines("# c \\", "#d \\", "a=1", "  ! e \\", "b=2")), [["a", "1"], ["b", "2"]]);
    assert.deepEqual(read(lines("a=x\\\\", "# c", "b=y\\\\\\", "  z")), [["a", "x\\"], ["b", "y\\z"]]);
    assert.deepEqual(read(lines("a=1,\\", "", "# c \\", "b=2")), [["a", "1,"], ["b", "2"]]);
  }
});

const pairsOf = (text: string) => parseProperties(text, "f").map(({ name, value }) => [name, value]);

test("cli properties: a file is read as java.util.Properties reads it", () => {
  const cases: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
    ["a=1\rb:2\r\nc 3\nd\t4\ne   =   5", [["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"], ["e", "5"]]],
    ["a==1\nb:=2\nc= :3\nd :=4", [["a", "=1"], ["b", "=2"], ["c", ":3"], ["d", "=4"]]],
    ["a\\=b\\:c\\ d=1", [["a=b:c d", "1"]]],
    ["p=\\t\\n\\r\\f\\\\\\u0041\\u00e9\\ud83d\\ude00", [["p", "\t\n\r\f\\A\u00e9\u{1f600}"]]],
    ["p=\\\"\\'\\=\\#\\!\\:\\_", [["p", "\"'=#!:_"]]],
    ["p=C:\\\\certs\\\\users", [["p", "C:\\certs\\users"]]],
    ["p=\\\\u0041", [["p", "\\u0041"]]],
    ["p=\\  x\\ ", [["p", "  x "]]],
    ["  a=1\n \t \n\f! c\n   # d\nb=2", [["a", "1"], ["b", "2"]]],
    ["a=1,\\\r\n\t  2,\\\r    3\nb=4", [["a", "1,2,3"], ["b", "4"]]],
    ["a\\\nb=1\n\\\n  # c=2", [["ab", "1"], ["#", "c=2"]]],
    ["a=1\\", [["a", "1"]]],
    ["a=\nb:", [["a", ""], ["b", ""]]],
    ["\ufeffa=1\na=2", [["a", "1"], ["a", "2"]]],
    ["a=\u00fc", [["a", "\u00fc"]]],
  ];
  for (const [text, wanted] of cases) assert.deepEqual(pairsOf(text), wanted, JSON.stringify(text));
});

test("cli properties: a line that is wrong is named by its number, and isn't shown", async () => {
  for (const text of ["p=s3cret\\u12g4", "p=s3cret\\u", "p\\uzzzz=s3cret"]) {
    const message = await refusal(() => parseProperties(`\n# \\u\n\na=1,\\\n  2\n${text}\n`, "f"));
    assert.equal(
      message,
      'Line 6 of "f" has \\u without four hexadecimal digits, write \\\\u for a backslash and a u',
    );
  }
  for (const text of ["p=s3cret\\b", "p=C:\\s3cret", "p=s3cret\\1", "p=s3cret\\U0041", "p\\q=s3cret"]) {
    assert.equal(
      await refusal(() => parseProperties(`a=1\n${text}\n`, "f")),
      'Line 2 of "f" has a backslash that means nothing, write \\\\ for one that stays',
    );
  }
  for (const text of ["s3cret", "s3cret  ", "=s3cret"]) {
    assert.equal(
      await refusal(() => parseProperties(`\n\n${text}\n`, "f")),
      'Line 3 of "f" is no property, wanted name=value',
    );
  }
});

test("cli properties: of a name that is there twice the last one counts, as of both of its names", async () => {
  const read = (text: string) => optionsOf(parseProperties(text, "f"), "producer", never);
  assert.deepEqual(await read("linger.ms=1\nlinger.ms=2\n"), { lingerMs: 2 });
  assert.deepEqual(await read("linger.ms=1\nqueue.buffering.max.ms=2\nlinger.ms=3\n"), { lingerMs: 3 });
});

const wordsWith = (file: string): Words => ({
  one: (name) => name === "config" ? file : undefined,
  all: () => [],
  has: () => false,
  positionals: [],
});

test("cli properties: a file is UTF-8, else ISO-8859-1, which is Java's; one that is neither is refused", async () => {
  const read = async (...bytes: number[]) => {
    const head = new TextEncoder().encode("bootstrap.servers=b:1\nssl.key.password=");
    async function* chunks(): AsyncIterable<Uint8Array> {
      // Each is valid until the next one is asked for.
      for (const byte of [...head, ...bytes]) yield await Promise.resolve(one.fill(byte));
    }
    const one = new Uint8Array(1);
    const { tls } = await readConnection(wordsWith("f"), { env: {}, open: world(chunks()).open }, "producer");
    return (tls as { passphrase: string }).passphrase;
  };
  assert.equal(await read(0x67, 0xc3, 0xbc), "g\u00fc");
  assert.equal(await read(0x67, 0xfc, 0x80, 0x78), "g\u00fc\u0080x");
  assert.match(await refusal(() => read(0x67, 0xfc, 0)), /^Cannot read "f": .*, wanted a file of text$/);
});

test("cli properties: a list in JSON is a list, numbers and booleans are as good as text", async () => {
  const read = (object: unknown) => optionsOf(parseProperties(JSON.stringify(object), "f"), "producer", never);
  assert.deepEqual(
    await read({
      "bootstrap.servers": ["a:9092", "b:9092"],
      "linger.ms": 5,
      "enable.idempotence": false,
      "acks": -1,
      "sasl.username": 12345,
      "client.id": "c",
    }),
    {
      brokers: "a:9092,b:9092",
      lingerMs: 5,
      idempotent: false,
      acks: -1,
      sasl: { username: "12345" },
      clientId: "c",
    },
  );
  assert.deepEqual(await read({ brokers: ["a:9092", "b:9092"] }), { brokers: ["a:9092", "b:9092"] });
  const { brokers } = await readConnection(
    wordsWith("f"),
    { env: {}, open: world(['{"bootstrap.servers": ["a:9092", "b:9092"]}']).open },
    "producer",
  );
  assert.equal(brokers, "a:9092,b:9092");
});

test("cli properties: text in JSON stays text whatever it reads as, and null is no value of another client's property", async () => {
  const read = (object: unknown) => optionsOf(parseProperties(JSON.stringify(object), "f"), "producer", never);
  for (const clientId of ["123", "true", "null", '"', "c"]) assert.deepEqual(await read({ clientId }), { clientId });
  assert.deepEqual(await read({ retries: "Infinity", lingerMs: 5 }), { retries: Infinity, lingerMs: 5 });
  for (const name of ["bootstrap.servers", "client.id", "sasl.password"]) {
    const why = await refusal(() => read({ [name]: null }));
    assert.equal(why, `Property "${name}" of "f" is null, wanted a value`);
  }
  // Of none that is for others.
  assert.deepEqual(await read({ "group.id": null }), {});
});

const MSK_IAM = `security.protocol=SASL_SSL
sasl.mechanism=AWS_MSK_IAM
sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required;
sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMClientCallbackHandler
`;
const MSK_OAUTHBEARER = `security.protocol=SASL_SSL
sasl.mechanism=OAUTHBEARER
sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required awsDebugCreds="true";
sasl.login.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler
sasl.client.callback.handler.class=software.amazon.msk.auth.iam.IAMOAuthBearerLoginCallbackHandler
`;

test("cli properties: the files that Amazon MSK tells for IAM are taken as they are, by every kind of client", async () => {
  for (const kind of ["producer", "reader", "admin"] as const) {
    const iam = await optionsOf(parseProperties(MSK_IAM, "f"), kind, never);
    assert.deepEqual(iam, { securityProtocol: "sasl_ssl", sasl: { mechanism: "AWS_MSK_IAM" } });
    const { sasl, ...rest } = await optionsOf(parseProperties(MSK_OAUTHBEARER, "f"), kind, never);
    const { token, ...named } = sasl as { token: unknown };
    assert.deepEqual([rest, named, typeof token], [
      { securityProtocol: "sasl_ssl" },
      { mechanism: "OAUTHBEARER" },
      "function",
    ]);
  }
  const brokers = "b-1.x.kafka.eu-west-1.amazonaws.com:9098";
  for (const text of [MSK_IAM, MSK_OAUTHBEARER]) {
    validateConfig({ brokers, ...await optionsOf(parseProperties(text, "f"), "producer", never) });
  }
  const module = "software.amazon.msk.auth.iam.IAMLoginModule required;";
  assert.deepEqual(await options({ "sasl.jaas.config": module }), { sasl: { mechanism: "AWS_MSK_IAM" } });
});

test("cli properties: what of Java's classes for MSK can't be heeded is refused with what helps", async () => {
  const iam = (fields: string) => ({
    "sasl.jaas.config": `software.amazon.msk.auth.iam.IAMLoginModule required ${fields};`,
  });
  for (const field of ["awsProfileName", "awsRoleArn", "awsRoleSessionName", "awsStsRegion"]) {
    assert.match(
      await refusal(() => options(iam(`awsDebugCreds=true ${field}="s3cret"`))),
      new RegExp(`^Take ${field} out of sasl.jaas.config: the identity is that of AWS_ACCESS_KEY_ID, .* prints it$`),
    );
  }
  const bearer = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
  const own = { "sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": `${bearer} clientId="a" clientSecret="s3cret";` };
  const message = await refusal(() => options(own));
  assert.match(message, /^OAUTHBEARER needs tokens, .* sasl.login.callback.handler.class=software.amazon.msk/);
  assert.doesNotMatch(message, /s3cret/);
  assert.match(
    await refusal(() => options({ "sasl.login.callback.handler.class": "com.example.Handler" })),
    /^Property sasl.login.callback.handler.class is "com.example.Handler", wanted software.amazon.msk.auth.iam.IAMC/,
  );
});
