/**
 * Properties of clients, as `-X NAME=VALUE` and files have them: by our names, by Java's and by librdkafka's.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { mskToken } from "../sasl/msk.ts";
import { show } from "../show.ts";
import { distance } from "./words.ts";

/** Who takes a property. */
export type ClientKind = "producer" | "reader" | "admin";

/** Where a property was written. */
export type PropertySource = "command line" | "file";

/** Name and value of a property, and where it was written. */
export interface Property {
  readonly name: string;
  readonly value: string;
  readonly source: PropertySource;
}

/** Reads a text file that a property names. */
export type ReadText = (file: string) => Promise<string>;

/** What a property of another client is here. */
interface Translation {
  /** What it is here: an option, or a field of one, such as `sasl.username`. */
  readonly ours: string;
  /** What the text means. */
  readonly convert:
    | "text"
    | "number"
    | "boolean"
    | "acks"
    | "kilobytes"
    | "level"
    | "file"
    | "jaas"
    | "handler"
    | "choice"
    | "keystore";
  /** With `choice`: the values that there are, and ours. */
  readonly choices?: Readonly<Record<string, unknown>>;
}

const text = (ours: string): Translation => ({ ours, convert: "text" });
const number = (ours: string): Translation => ({ ours, convert: "number" });
const flag = (ours: string): Translation => ({ ours, convert: "boolean" });
const file = (ours: string): Translation => ({ ours, convert: "file" });
const choice = (ours: string, choices: Readonly<Record<string, unknown>>): Translation => ({
  ours,
  convert: "choice",
  choices,
});

const PROTOCOLS = Object.fromEntries(
  ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].map((name) => [name, name]),
);

/** Properties of Java's clients and of librdkafka, in the order in which `-X list` shows them. */
const TRANSLATIONS: Readonly<Record<string, Translation>> = {
  "bootstrap.servers": text("brokers"),
  "metadata.broker.list": text("brokers"),
  "client.id": text("clientId"),
  "security.protocol": choice("securityProtocol", PROTOCOLS),
  "sasl.mechanism": text("sasl.mechanism"),
  "sasl.mechanisms": text("sasl.mechanism"),
  "sasl.username": text("sasl.username"),
  "sasl.password": text("sasl.password"),
  "sasl.jaas.config": { ours: "sasl", convert: "jaas" },
  "sasl.client.callback.handler.class": { ours: "sasl", convert: "handler" },
  "sasl.login.callback.handler.class": { ours: "sasl", convert: "handler" },
  "ssl.ca.location": file("tls.ca"),
  "ssl.ca.pem": text("tls.ca"),
  "ssl.truststore.location": { ours: "tls.ca", convert: "keystore" },
  "ssl.truststore.certificates": text("tls.ca"),
  "ssl.certificate.location": file("tls.cert"),
  "ssl.certificate.pem": text("tls.cert"),
  "ssl.keystore.location": { ours: "tls.cert", convert: "keystore" },
  "ssl.keystore.certificate.chain": text("tls.cert"),
  "ssl.key.location": file("tls.key"),
  "ssl.key.pem": text("tls.key"),
  "ssl.keystore.key": text("tls.key"),
  "ssl.key.password": text("tls.passphrase"),
  "ssl.endpoint.identification.algorithm": choice("tls.verify", { "": "ca", none: "ca", https: "full" }),
  "enable.ssl.certificate.verification": choice("tls.verify", { false: "none", true: "full" }),
  "acks": { ours: "acks", convert: "acks" },
  "request.required.acks": { ours: "acks", convert: "acks" },
  "enable.idempotence": flag("idempotent"),
  "enable.gapless.guarantee": flag("gapless"),
  "compression.type": text("compression"),
  "compression.codec": text("compression"),
  "compression.level": { ours: "compression", convert: "level" },
  "compression.gzip.level": { ours: "compression", convert: "level" },
  "compression.lz4.level": { ours: "compression", convert: "level" },
  "compression.zstd.level": { ours: "compression", convert: "level" },
  "partitioner": choice("partitioner", { random: "random", murmur2_random: "sticky" }),
  "linger.ms": number("lingerMs"),
  "queue.buffering.max.ms": number("lingerMs"),
  "batch.size": number("batchSize"),
  "buffer.memory": number("bufferMemory"),
  "queue.buffering.max.kbytes": { ours: "bufferMemory", convert: "kilobytes" },
  "max.block.ms": number("maxBlockMs"),
  "max.request.size": number("maxRequestSize"),
  "message.max.bytes": number("maxRequestSize"),
  "max.in.flight.requests.per.connection": number("maxInFlight"),
  "max.in.flight": number("maxInFlight"),
  "retries": number("retries"),
  "message.send.max.retries": number("retries"),
  "retry.backoff.ms": number("retryBackoffMs"),
  "retry.backoff.max.ms": number("retryBackoffMaxMs"),
  "delivery.timeout.ms": number("deliveryTimeoutMs"),
  "message.timeout.ms": number("deliveryTimeoutMs"),
  "default.api.timeout.ms": number("defaultApiTimeoutMs"),
  "request.timeout.ms": number("requestTimeoutMs"),
  "socket.timeout.ms": number("requestTimeoutMs"),
  "socket.connection.setup.timeout.ms": number("connectTimeoutMs"),
  "reconnect.backoff.ms": number("reconnectBackoffMs"),
  "reconnect.backoff.max.ms": number("reconnectBackoffMaxMs"),
  "metadata.max.age.ms": number("metadataMaxAgeMs"),
  "topic.metadata.refresh.interval.ms": number("metadataMaxAgeMs"),
  "metadata.max.idle.ms": number("metadataMaxIdleMs"),
  "connections.max.idle.ms": number("connectionMaxIdleMs"),
  "allow.auto.create.topics": flag("allowAutoTopicCreation"),
  "isolation.level": text("isolation"),
  "auto.offset.reset": choice("onMissingOffset", {
    ...{ earliest: "beginning", smallest: "beginning", beginning: "beginning" },
    ...{ latest: "end", largest: "end", end: "end", none: "fail", error: "fail" },
  }),
  "fetch.max.wait.ms": number("maxWaitMs"),
  "fetch.wait.max.ms": number("maxWaitMs"),
  "fetch.max.bytes": number("maxBytes"),
  "max.partition.fetch.bytes": number("maxPartitionBytes"),
  "fetch.message.max.bytes": number("maxPartitionBytes"),
};

/** Options of the clients that can be written as text, by who takes them. */
const COMMON = ["brokers", "clientId", "tls", "sasl", "securityProtocol", "requestTimeoutMs", "connectTimeoutMs"];
const OPTIONS: Readonly<Record<ClientKind, readonly string[]>> = {
  admin: [...COMMON, "retryBackoffMs", "retryBackoffMaxMs", "defaultApiTimeoutMs"],
  reader: [
    ...[...COMMON, "isolation", "onMissingOffset", "maxWaitMs", "maxBytes", "maxPartitionBytes", "maxBufferedBytes"],
    ...["maxDecompressedBytes", "maxBlockMs", "retryBackoffMs", "retryBackoffMaxMs", "metadataMaxAgeMs"],
  ],
  producer: [
    ...[...COMMON, "acks", "idempotent", "gapless", "compression", "codecs", "lingerMs", "batchSize", "bufferMemory"],
    ...["maxBlockMs", "maxRequestSize", "maxInFlight", "retries", "retryBackoffMs", "retryBackoffMaxMs", "partitioner"],
    ...["deliveryTimeoutMs", "reconnectBackoffMs", "reconnectBackoffMaxMs", "metadataMaxAgeMs", "metadataMaxIdleMs"],
    ...["connectionMaxIdleMs", "allowAutoTopicCreation", "clusterCheck", "maxConnections", "logger"],
  ],
};

const NO_GROUP = "leave it out: sluice tail reads without a group";
const NO_SCHEMAS = "leave it out: schemas are for programs, see @sluice/kafka/schema-registry";

/** What means nothing to a client in JavaScript, or is an option of the command: told, if it isn't in a file. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "parse.key": "use --key-separator",
  "key.separator": "use --key-separator",
  "parse.headers": "use --headers-separator",
  "headers.delimiter": "use --headers-separator",
  "null.marker": "use --null-marker",
  "ignore.error": "leave it out: a line that can't be read ends the run",
  "print.key": "use --key-separator, or --format '%k %s\\n'",
  "print.value": "use --format TEMPLATE",
  "print.offset": "use --format '%o %s\\n'",
  "print.partition": "use --format '%p %s\\n'",
  "print.timestamp": "use --format '%T %s\\n'",
  "print.headers": "use --format '%h %s\\n'",
  "line.separator": "use --delimiter",
  "transactional.id": "leave it out: transactions are for programs, see docs/transactions.md",
  "group.id": NO_GROUP,
  "group.instance.id": NO_GROUP,
  "group.protocol": NO_GROUP,
  "session.timeout.ms": NO_GROUP,
  "heartbeat.interval.ms": NO_GROUP,
  "max.poll.interval.ms": NO_GROUP,
  "max.poll.records": NO_GROUP,
  "enable.auto.commit": NO_GROUP,
  "auto.commit.interval.ms": NO_GROUP,
  "partition.assignment.strategy": NO_GROUP,
  "schema.registry.url": NO_SCHEMAS,
  "basic.auth.credentials.source": NO_SCHEMAS,
  "basic.auth.user.info": NO_SCHEMAS,
  "client.dns.lookup": "leave it out: all addresses of a name are tried",
  "key.serializer": "leave it out: keys are bytes",
  "value.serializer": "leave it out: values are bytes",
  "key.deserializer": "leave it out: keys are bytes",
  "value.deserializer": "leave it out: values are bytes",
  "ssl.truststore.type": "leave it out: PEM is read",
  "ssl.keystore.type": "leave it out: PEM is read",
  "debug": "use -X logger=console",
};

/** The lines that `-X list` prints. */
export function listProperties(kind: ClientKind): string {
  const rows = Object.entries(TRANSLATIONS).filter(([, { ours }]) => OPTIONS[kind].includes(root(ours)));
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, { ours, choices }]) => {
    const among = choices === undefined ? "" : ` (${Object.keys(choices).map((name) => name || '""').join(", ")})`;
    return `  ${name.padEnd(width)}  ${ours}${among}`;
  });
  return `Properties of Java's clients and of librdkafka, and what they are here:\n${lines.join("\n")}\n\n` +
    `Our own names are taken as well, with values as in JSON:\n  ${wrap(OPTIONS[kind]).join("\n  ")}\n`;
}

/**
 * The options of a client. Later properties win. What a file says for another kind of client is left out; on a command
 * line it is a `ConfigError`, as is what nobody knows.
 */
export async function optionsOf(
  properties: readonly Property[],
  kind: ClientKind,
  readText: ReadText,
): Promise<Record<string, unknown>> {
  const options: Record<string, unknown> = {};
  for (const property of properties) {
    const name = property.name.trim();
    const known = own(TRANSLATIONS, name);
    const ours = root(known?.ours ?? name);
    if (!OPTIONS[kind].includes(ours)) {
      if (property.source === "file" && (own(ELSEWHERE, name) !== undefined || isKnown(ours))) continue;
      throw new ConfigError("property", refusal(name, kind, isKnown(ours)));
    }
    if (known === undefined) {
      // A field of an option has none of its own: `tls.verify.mode` isn't `tls.verify`.
      if (name.split(".").length > 2) throw new ConfigError("property", refusal(name, kind, false));
      setIn(options, name, literal(property.value));
    } else await translate(options, name, property.value, known, readText);
  }
  checkTokens(options);
  const { compression, level, ...rest } = options;
  if (level !== undefined && compression === undefined) {
    throw new ConfigError("property", `Give compression.type as well: a level of compression alone means nothing`);
  }
  return compression === undefined
    ? rest
    : { ...rest, compression: level === undefined ? compression : { codec: compression, level } };
}

/**
 * The properties in a file: `name=value` lines, as `java.util.Properties` reads them, or one JSON object. Blanks at the
 * end of a value, which nobody means, are left out. Slips are refused: a line without a value, and a backslash that
 * Java drops and kcat keeps, or half a password would be sent.
 */
export function parseProperties(content: string, fileName: string): Property[] {
  const text = content.replace(/^\uFEFF/, "");
  if (/^\s*\{/.test(text)) return jsonProperties(text, fileName);
  const lines = text.split(/\r\n|\r|\n/);
  const properties: Property[] = [];
  for (let at = 0; at < lines.length; at++) {
    const number = at + 1;
    let line = withoutIndent(lines[at]!);
    if (/^(?:[#!]|$)/.test(line)) continue;
    // What goes on is none of those, whatever it begins with.
    while (ESCAPES_ITS_END.test(line) && at + 1 < lines.length) line = line.slice(0, -1) + withoutIndent(lines[++at]!);
    const [, name, rest] = NAME_AND_VALUE.exec(line) ?? [];
    // The line isn't shown: it may be a password.
    const refuse = (why: string): never => {
      throw new ConfigError("config", `Line ${number} of ${show(fileName)} ${why}`);
    };
    if (name === undefined || rest === undefined) return refuse("is no property, wanted name=value");
    properties.push({ name: unescaped(name, refuse), value: unescaped(trimmedEnd(rest), refuse), source: "file" });
  }
  return properties;
}

/** An odd number of backslashes stands at its end. */
const ESCAPES_ITS_END = /(?<!\\)(?:\\\\)*\\$/;
/** A name may hold what ends it, behind a backslash. */
const NAME_AND_VALUE = /^((?:\\.|[^\\=: \t\f])+)(?:[ \t\f]*[=:]|[ \t\f]+(?=[^ \t\f]))[ \t\f]*(.*)$/s;
const LETTERS: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

function withoutIndent(line: string): string {
  return line.replace(/^[ \t\f]+/, "");
}

/** A blank behind a backslash is meant. */
function trimmedEnd(value: string): string {
  const trimmed = value.trimEnd();
  return ESCAPES_ITS_END.test(trimmed) ? value.slice(0, trimmed.length + 1) : trimmed;
}

function unescaped(text: string, refuse: (why: string) => never): string {
  return text.replace(/\\(?:u([\da-fA-F]{4})|(.?))/gs, (_, digits: string | undefined, letter: string) => {
    if (digits !== undefined) return String.fromCharCode(Number.parseInt(digits, 16));
    if (letter === "u") refuse("has \\u without four hexadecimal digits, write \\\\u for a backslash and a u");
    const meant = own(LETTERS, letter);
    if (meant === undefined && /[a-z\d]/i.test(letter)) {
      refuse("has a backslash that means nothing, write \\\\ for one that stays");
    }
    return meant ?? letter;
  });
}

function jsonProperties(content: string, fileName: string): Property[] {
  let object: unknown;
  try {
    object = JSON.parse(content);
  } catch {
    throw new ConfigError("config", `File ${show(fileName)} begins as JSON and is none, wanted one object`);
  }
  return Object.entries(object as Record<string, unknown>).map(([name, value]) => {
    if (own(TRANSLATIONS, name) === undefined) return { name, value: asLiteral(value), source: "file" };
    if (value === null) {
      throw new ConfigError("config", `Property ${show(name)} of ${show(fileName)} is null, wanted a value`);
    }
    return { name, value: asText(value), source: "file" };
  });
}

/** What {@link literal} reads again: JSON, which has no infinity. */
function asLiteral(value: unknown): string {
  return value === "Infinity" ? value : JSON.stringify(value);
}

/** As other clients have it: their lists are text with commas. */
function asText(value: unknown): string {
  if (Array.isArray(value) && value.every(isText)) return value.join(",");
  return isText(value) ? value : JSON.stringify(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

async function translate(
  options: Record<string, unknown>,
  name: string,
  value: string,
  translation: Translation,
  readText: ReadText,
): Promise<void> {
  const { ours, convert } = translation;
  switch (convert) {
    case "level":
      return setIn(options, "level", numberOf(name, value));
    case "file":
      return setIn(options, ours, await readText(value));
    case "keystore":
      return setKeystore(options, ours, name, await readText(value));
    case "jaas":
      return setJaas(options, name, value);
    case "handler":
      return setHandler(options, name, value);
    default:
      return setIn(options, ours, CONVERT[convert](name, value, translation));
  }
}

type Plain = Exclude<Translation["convert"], "level" | "file" | "keystore" | "jaas" | "handler">;

const CONVERT: Readonly<Record<Plain, (name: string, value: string, translation: Translation) => unknown>> = {
  text: (_, value) => value,
  number: numberOf,
  kilobytes: (name, value) => numberOf(name, value) * 1024,
  acks: (_, value) => /^(?:-1|0|1)$/.test(value) ? Number(value) : value,
  boolean(name, value) {
    if (value !== "true" && value !== "false") throw wrong(name, value, "true or false");
    return value === "true";
  },
  choice(name, value, { choices = {} }) {
    const found = own(choices, value.toLowerCase());
    if (found === undefined) throw wrong(name, value, Object.keys(choices).map((key) => key || '""').join(", "));
    return found;
  },
};

/** A keystore in PEM holds a key and its certificates, a truststore certificates alone. */
function setKeystore(options: Record<string, unknown>, ours: string, name: string, content: string): void {
  if (!content.includes("-----BEGIN ")) {
    throw new ConfigError(
      "property",
      `The file of ${name} is no PEM, wanted one: keytool -exportcert -rfc and openssl pkcs12 make it from a JKS`,
    );
  }
  setIn(options, ours, content);
  if (ours === "tls.cert" && content.includes("PRIVATE KEY-----")) setIn(options, "tls.key", content);
}

/** A name and its text, which may stand between quotation marks of either kind. */
const JAAS_FIELD = /\b(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"';]+))/g;

const MSK_CLASSES = "software.amazon.msk.auth.iam.";
const MSK_TOKENS = `${MSK_CLASSES}IAMOAuthBearerLoginCallbackHandler`;

/** Java's classes that sign in to Amazon MSK, which is done here without them. */
function setHandler(options: Record<string, unknown>, name: string, value: string): void {
  if (value === MSK_TOKENS) setIn(options, "sasl.token", mskToken());
  else if (value !== `${MSK_CLASSES}IAMClientCallbackHandler`) {
    throw wrong(name, value, `${MSK_CLASSES}IAMClientCallbackHandler or ${MSK_TOKENS}, for Amazon MSK`);
  }
}

function checkTokens({ sasl }: Record<string, unknown>): void {
  const { mechanism, token } = (sasl ?? {}) as Record<string, unknown>;
  if (token !== undefined || !/^oauthbearer$/i.test(String(mechanism))) return;
  throw new ConfigError(
    "property",
    `OAUTHBEARER needs tokens, and here are those of Amazon MSK alone: sasl.login.callback.handler.class=${MSK_TOKENS}`,
  );
}

/** Of what Amazon's classes heed these would choose another identity. */
const OTHER_IDENTITY = /^aws(?:ProfileName|Role|Sts)/;

/** `…PlainLoginModule required username="u" password="p";`, or a module of Amazon's, which finds its identity itself. */
function setJaas(options: Record<string, unknown>, name: string, value: string): void {
  const fields = Object.fromEntries(
    [...value.matchAll(JAAS_FIELD)].map(([, field, double, single, bare]) => {
      return [field!, bare ?? (double ?? single)!.replace(/\\(.)/g, "$1")];
    }),
  );
  // Half a password is worse than none.
  if (/["']|;\s*[^;\s]/.test(value.replace(JAAS_FIELD, ""))) {
    throw new ConfigError(
      "property",
      `A quotation mark or a semicolon in ${name} belongs to no text, wanted text with either between quotation marks`,
    );
  }
  const [, module] = /\b(IAM|OAuthBearer)LoginModule\b/.exec(value.replace(JAAS_FIELD, "")) ?? [];
  if (module !== undefined) {
    const other = Object.keys(fields).find((field) => OTHER_IDENTITY.test(field));
    if (other !== undefined) {
      throw new ConfigError(
        "property",
        `Take ${other} out of ${name}: the identity is that of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and ` +
          `AWS_SESSION_TOKEN, as aws configure export-credentials --profile NAME --format env prints it`,
      );
    }
    return setMechanism(options, module === "IAM" ? "AWS_MSK_IAM" : "OAUTHBEARER");
  }
  if (fields["username"] === undefined || fields["password"] === undefined) {
    throw new ConfigError("property", `No username="…" password="…" is in ${name}, wanted both`);
  }
  setIn(options, "sasl.username", fields["username"]);
  setIn(options, "sasl.password", fields["password"]);
  if (value.includes("PlainLoginModule")) setMechanism(options, "PLAIN");
}

/** The one of a module, unless another is named. */
function setMechanism(options: Record<string, unknown>, mechanism: string): void {
  const { mechanism: named } = (options["sasl"] ?? {}) as Record<string, unknown>;
  if (named === undefined) setIn(options, "sasl.mechanism", mechanism);
}

/** `sasl.username` is a field of the option `sasl`. */
function setIn(options: Record<string, unknown>, path: string, value: unknown): void {
  const [name, field] = path.split(".") as [string, string | undefined];
  if (field === undefined) options[name] = value;
  else options[name] = { ...(typeof options[name] === "object" ? options[name] : {}), [field]: value };
}

/** `maxInFlight=1` is the number 1: what reads as JSON is that value, all else is text. */
function literal(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value === "Infinity" ? Infinity : value;
  }
}

function numberOf(name: string, value: string): number {
  if (/^(?:-?\d{1,15}|Infinity)$/.test(value)) return Number(value);
  throw wrong(name, value, "a whole number");
}

function wrong(name: string, value: string, wanted: string): ConfigError {
  return new ConfigError("property", `Property ${name} is ${show(value)}, wanted ${wanted}`);
}

function refusal(name: string, kind: ClientKind, isForOthers: boolean): string {
  const elsewhere = own(ELSEWHERE, name);
  if (elsewhere !== undefined) return `Property ${show(name)} is none here, ${elsewhere}`;
  const a = kind === "admin" ? "an admin client" : `a ${kind}`;
  if (isForOthers) return `Property ${show(name)} is none of ${a}, see -X list`;
  const near = [...Object.keys(TRANSLATIONS), ...OPTIONS[kind]].find((known) => distance(known, name) <= 2);
  return `Unknown property ${show(name)}, ${near === undefined ? "see -X list" : `did you mean ${near}?`}`;
}

function isKnown(ours: string): boolean {
  return Object.values(OPTIONS).some((names) => names.includes(ours));
}

function root(path: string): string {
  return path.split(".")[0]!;
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** Words in lines of at most 110 characters. */
function wrap(words: readonly string[]): string[] {
  const lines = [""];
  for (const word of words) {
    const last = lines.at(-1)!;
    if (last.length + word.length > 108) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}
