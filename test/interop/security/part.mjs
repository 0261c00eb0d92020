/**
 * TLS, SASL and ACLs of a real Kafka, from each runtime: what lets a producer in, what keeps it out and in which words,
 * and that nothing is lost while sessions end and brokers restart.
 */
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "../../../scripts/build.mjs";
import { classPath, toolJvmFlags } from "../../../scripts/kafka.mjs";
import { legDir } from "../../../scripts/lib/legs.mjs";
import { listenAnywhere } from "../../../scripts/lib/program.mjs";
import { bundle, runWorker } from "../../../scripts/lib/worker.mjs";
import { root, run, runtimeBinary } from "../../../scripts/lib/tools.mjs";
import { prepareClient, runClient } from "../clients.mjs";
import { sessionMs, startSecureKafka, users } from "./kafka.mjs";
import { pushIntervalMs, subscribe, telemetrySink, wrongPushes } from "./telemetry.mjs";
import { startTokens } from "./tokens.mjs";
import { runWorkers, startMeter } from "./workers.mjs";

const partitions = 3;
/** What metrics are compressed with; the records as well. */
const codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
const [open, closed] = ["orders", "forbidden"];

/**
 * What becomes of a call: it goes well, or is refused with these words, as an AuthenticationError or another one.
 *
 * @typedef {"ok" | RegExp | [string, RegExp]} Wanted
 */

/**
 * Runs the cases on each of the runtimes, and the load on the first of them if it is wanted, for so many seconds. `whole`
 * runs every mechanism with every codec instead; `loadS` nothing but the load.
 */
export async function runSecurityPart({ version, runtimes, withLoad, loadS, whole = false, tally, log }) {
  if (loadS !== undefined) {
    const tokens = await startTokens();
    await runLoadOn(runtimes[0], { version, tokens, loadS, tally, log }).finally(() => tokens.close());
    return;
  }
  const [tokens, meter] = await Promise.all([startTokens(), startMeter()]);
  try {
    const plugin = await telemetrySink(version);
    const kafka = await startSecureKafka({ version, tokens, plugin, advertised: { SASL_SSL: meter.port } });
    meter.lead(kafka.nodes[0].ports.SASL_SSL);
    try {
      const { brokers, libs } = kafka;
      await prepareClient("java", libs);
      await runClient("java", libs, "create", { brokers, partitions, topics: [open, closed] });
      await forbid(libs, brokers, "mallory", closed);
      await subscribe(libs, brokers);
      for (const runtime of whole ? runtimes : []) await runMatrixOn(runtime, { version, kafka, tokens, tally, log });
      for (const runtime of whole ? [] : runtimes) {
        const pushed = pushedCodecs(runtime, runtimes);
        await runCasesOn(runtime, { version, kafka, tokens, pushed, tally, log });
        for (const codec of pushed) {
          const pushes = plugin.pushes().filter(({ clientId }) => clientId === `${runtime}-${codec}`);
          tally.check(
            `Kafka ${version}, ${runtime}: a metrics plugin reads what is pushed, ${codec}`,
            wrongPushes(pushes),
          );
        }
      }
      if (withLoad) await runWorkers({ version, kafka, meter, user: Object.entries(users)[0], tally, log });
    } finally {
      await kafka.stop();
    }
    if (withLoad) await runLoadOn(runtimes[0], { version, tokens, tally, log });
  } finally {
    tokens.close();
    meter.close();
  }
}

/** What metrics are compressed with: everything on one runtime, and something on the others. */
function pushedCodecs(runtime, runtimes) {
  return runtime === runtimes[0] ? codecs : ["zstd"];
}

/** Every mechanism with every codec; what arrives is read back by the Java consumer. */
async function runMatrixOn(runtime, { version, kafka, tokens, tally, log }) {
  const { brokers, brokersOf, ca, client, libs } = kafka;
  const [username, password] = Object.entries(users)[0];
  const named = (mechanism) => ({ listener: "SASL_SSL", sasl: { mechanism, username, password } });
  const oidc = { tokenEndpoint: tokens.endpoint("good"), clientId: "sluice", clientSecret: tokens.clientSecret };
  /** @type {Record<string, { listener: string, sasl?: object, tls?: object }>} */
  const ways = {
    "TLS": { listener: "SSL" },
    ...runtime === "workerd" ? {} : { "a client certificate": { listener: "MTLS", tls: client } },
    "PLAIN": named("plain"),
    "SCRAM-SHA-256": named("scram-sha-256"),
    "SCRAM-SHA-512": named("scram-sha-512"),
    "OAUTHBEARER": { listener: "SASL_SSL", sasl: { oidc } },
  };
  // There the authority is the configuration's business.
  const trusting = runtime === "workerd" ? {} : { ca: ca.cert };
  const topic = `matrix-${runtime}`;
  await runClient("java", libs, "create", { brokers, partitions, topics: [topic] });
  const cases = Object.entries(ways).flatMap(([way, { listener, sasl, tls = {} }]) =>
    codecs.flatMap((compression) =>
      ["all", 1, 0].map((acks) => ({
        ...{ name: `${way}, ${compression}, acks ${acks}`, wanted: "ok", topics: [topic], sasl, count: 10 },
        secrets: [password, tokens.clientSecret],
        options: {
          ...{ brokers: brokersOf(listener), compression, acks, maxBlockMs: 20_000 },
          tls: Object.keys({ ...trusting, ...tls }).length === 0 ? true : { ...trusting, ...tls },
        },
      }))
    )
  );
  const { reports, problem } = await runPlan(runtime, cases, undefined, [ca.cert]);
  const label = (name) => `Kafka ${version}, ${runtime}: ${name}`;
  tally.check(label("the matrix of mechanisms and codecs runs to its end"), problem === undefined ? [] : [problem]);
  const wanted = cases.flatMap(({ name, count }) => Array.from({ length: count }, (_, i) => `${name} ${i}`));
  const found = await runClient("java", libs, "read", {
    ...{ brokers, partitions, withinMs: 60_000 },
    topics: [{ topic, count: wanted.length }],
  });
  const values = found.map(({ value }) => Buffer.from(value, "base64").toString());
  for (const { name, count } of cases) {
    const report = reports.get(name);
    const there = values.filter((value) => value.startsWith(`${name} `)).length;
    tally.check(label(name), [
      ...report === undefined ? ["there is no report"] : differences(report, "ok"),
      ...there === count ? [] : [`${there} of ${count} records are in the log`],
    ]);
  }
  log(`Kafka ${version}, ${runtime}: ${cases.length} cases, ${values.length} of ${wanted.length} records`);
}

async function runCasesOn(runtime, { version, kafka, tokens, pushed, tally, log }) {
  const cases = casesFor(kafka, tokens, { runtime, pushed });
  const { reports, problem } = await runPlan(runtime, cases);
  const label = (name) => `Kafka ${version}, ${runtime}: ${name}`;
  tally.check(label("the security cases run to their end"), problem === undefined ? [] : [problem]);
  let slowestMs = 0;
  for (const { name, wanted } of cases) {
    const report = reports.get(name);
    tally.check(label(name), report === undefined ? ["there is no report"] : differences(report, wanted));
    if (wanted instanceof RegExp) slowestMs = Math.max(slowestMs, ...timesOf(report));
  }
  log(`Kafka ${version}, ${runtime}: the slowest refusal took ${Math.round(slowestMs)} ms`);
}

/** Whether all went well, or connect() and each record were told the same at once. */
function differences({ problem, connected, sent = [], leaks = [] }, wanted) {
  if (problem !== undefined) return [problem];
  const all = [connected, ...sent];
  const wrong = [...leaks, ...all.flatMap((told) => told?.leaks ?? [])].map((form) => `it tells a secret: ${form}`);
  const describe = (told) => told === null ? "it went well" : `${told.name} ${told.code}: ${told.message}`;
  for (const [at, told] of all.entries()) {
    const expected = typeof wanted === "function" ? wanted(at) : wanted;
    if (expected === "ok" && told !== null) wrong.push(describe(told));
    if (expected === "ok") continue;
    const [name, pattern] = expected instanceof RegExp ? ["AuthenticationError", expected] : expected;
    if (told?.name !== name || !pattern.test(told.message)) wrong.push(`${describe(told)}, wanted ${name} ${pattern}`);
  }
  return [...new Set(wrong)];
}

function timesOf(report) {
  return [report?.connected, ...report?.sent ?? []].map((told) => told?.tookMs ?? 0);
}

function casesFor({ brokers, brokersOf, ca, otherCa, client }, tokens, { runtime, pushed }) {
  const tls = { ca: ca.cert };
  const [user, password] = Object.entries(users)[0];
  const named = (mechanism, more = {}) => ({ mechanism, username: user, password, ...more });
  const oidc = (endpoint, more = {}) => ({
    oidc: { tokenEndpoint: tokens.endpoint(endpoint), clientId: "sluice", clientSecret: tokens.clientSecret, ...more },
  });
  const secrets = [password, users.mallory, tokens.clientSecret, wrongPassword, client.key.split("\n")[1]];
  /**
   * @param {string} name
   * @param {string | undefined} listener
   * @param {Record<string, any> & { wanted?: Wanted | ((at: number) => Wanted), topics?: string[] }} [more]
   */
  const make = (name, listener, { sasl, telemetryMs, wanted = "ok", topics = [open], ...options } = {}) => ({
    ...{ name, wanted, topics, sasl, count: 4, telemetryMs, secrets },
    options: {
      brokers: listener === undefined ? brokers : brokersOf(listener),
      // What is found out at once doesn't wait for that.
      maxBlockMs: 20_000,
      ...listener?.endsWith("SSL") || listener === "MTLS" || listener === "EXPIRED" || listener === "ELSEWHERE"
        ? { tls }
        : {},
      ...options,
    },
  });
  const refusedToken = /^The broker refused the token for OAUTHBEARER: \{"status":"invalid_token"\}\.$/;
  return [
    ...pushed.map((compression) =>
      make(`metrics are pushed, ${compression}`, "SASL_SSL", {
        ...{ sasl: named("scram-sha-256"), compression, clientId: `${runtime}-${compression}` },
        // The first push comes after one and a half of them at most.
        telemetryMs: 4 * pushIntervalMs,
      })
    ),
    make("TLS delivers", "SSL"),
    make("TLS delivers compressed", "SSL", { compression: "zstd", acks: 0 }),
    make("a client certificate lets in", "MTLS", { tls: { ...tls, ...client } }),
    make("a server name stands in for the host", "ELSEWHERE", { tls: { ...tls, serverName: "elsewhere.example" } }),
    make("the name can be left out of the check", "ELSEWHERE", { tls: { ...tls, verify: "ca" } }),
    make("PLAIN over TLS delivers", "SASL_SSL", { sasl: named("plain") }),
    make("SCRAM-SHA-256 over TLS delivers", "SASL_SSL", { sasl: named("scram-sha-256") }),
    make("SCRAM-SHA-512 over TLS delivers", "SASL_SSL", { sasl: named("SCRAM-SHA-512"), compression: "lz4" }),
    make("OAUTHBEARER over TLS delivers", "SASL_SSL", { sasl: oidc("good") }),
    make("OAUTHBEARER with the secret in the body is refused by an endpoint that wants it in the header", "SASL_SSL", {
      sasl: oidc("good", { authMethod: "post" }),
      wanted: /gave no token: it answered with status 401, "invalid_client"/,
    }),
    make("PLAIN in clear delivers when it is asked for in words", "SASL_PLAINTEXT", {
      sasl: named("plain"),
      securityProtocol: "sasl_plaintext",
    }),
    make("SCRAM-SHA-512 in clear delivers", "SASL_PLAINTEXT", { sasl: named("scram-sha-512"), acks: 0 }),
    make("a wrong password for PLAIN is told at once", "SASL_SSL", {
      sasl: named("plain", { password: wrongPassword }),
      wanted: /refused PLAIN: it says "Authentication failed: Invalid username or password"/,
    }),
    make("a wrong password for SCRAM is told at once", "SASL_SSL", {
      sasl: named("scram-sha-256", { password: wrongPassword }),
      wanted: /refused SCRAM-SHA-256: it says ".*invalid credentials/,
    }),
    make("an unknown user is told at once", "SASL_PLAINTEXT", {
      sasl: named("scram-sha-512", { username: "nobody" }),
      wanted: /refused SCRAM-SHA-512: it says ".*invalid credentials/,
    }),
    make("a mechanism that isn't offered is told at once, with those that are", "SASL_SSL", {
      sasl: { unheardOf: "GSSAPI" },
      wanted: /offers \(.*PLAIN.*\): GSSAPI is not among them\.$/,
    }),
    make("credentials where none are wanted are told at once", "SSL", {
      sasl: named("scram-sha-256"),
      wanted: /^Remove "sasl", or name another port/,
    }),
    make("no credentials where some are wanted are told at once", "SASL_SSL", {
      wanted: /^Set "sasl": the broker at \S+ wants to know who you are \(.*SCRAM-SHA-512.*\)\.$/,
    }),
    make("an authority that nobody has named is told at once", "SSL", {
      tls: true,
      wanted: /is not trusted\. Give the CA that has signed it as "tls\.ca"/,
    }),
    make("a wrong authority is told at once", "SSL", {
      tls: { ca: otherCa.cert },
      wanted: /is not trusted\. Give the CA/,
    }),
    make("an expired certificate is told at once", "EXPIRED", { wanted: /its certificate has expired\. Renew it/ }),
    make("a certificate for other names is told at once", "ELSEWHERE", {
      wanted: /its certificate is for other names/,
    }),
    make("a client certificate that is missing is told at once", "MTLS", {
      wanted: /refuses our certificate, or wants one/,
    }),
    make("a client certificate of another authority is told at once", "MTLS", {
      tls: { ...tls, ...otherCa.issue({ name: "eve" }) },
      wanted: /refuses our certificate, or wants one/,
    }),
    make("a plain client on a TLS port is told at once", "SSL", { tls: false, wanted: /looks like a TLS port/ }),
    make("a plain client with credentials on a TLS port is told at once", "SASL_SSL", {
      tls: false,
      sasl: named("scram-sha-256"),
      wanted: /looks like a TLS port/,
    }),
    make("a TLS client on a plain port is told at once", undefined, { tls, wanted: /looks like a plain port/ }),
    make("a TLS client on a plain port with SASL is told at once", "SASL_PLAINTEXT", {
      tls,
      sasl: named("plain"),
      wanted: /looks like a plain port/,
    }),
    ...["wrong signer", "wrong audience", "wrong issuer", "expired"].map((fault) =>
      make(`a token that is refused (${fault}) is told at once`, "SASL_SSL", {
        sasl: oidc(fault),
        wanted: refusedToken,
      })
    ),
    make("a token endpoint that answers rubbish is told at once", "SASL_SSL", {
      sasl: oidc("rubbish"),
      wanted: /gave no token \(4 attempts\): it answered with something that is no JSON object\./,
    }),
    make("a token endpoint that refuses is told at once", "SASL_SSL", {
      sasl: oidc("refusing"),
      wanted: /gave no token: it answered with status 400, "invalid_client: who are you\?"\./,
    }),
    make("a token endpoint that is slow is told within two seconds", "SASL_SSL", {
      sasl: oidc("slow"),
      wanted: /gave no token: it didn't answer within 1800 ms\./,
    }),
    make("a token endpoint that is down is told at once", "SASL_SSL", {
      sasl: oidc("good", { tokenEndpoint: "http://127.0.0.1:1/" }),
      wanted: /gave no token \(4 attempts\): it can't be reached\./,
    }),
    make("who may not write to one topic is told so for that one, and others go on", "SASL_SSL", {
      sasl: { mechanism: "scram-sha-256", username: "mallory", password: users.mallory },
      topics: [open, closed],
      // connect() first, then one record for each topic in turn.
      wanted: (at) => at === 0 || at % 2 === 1 ? "ok" : ["AuthorizationError", /TOPIC_AUTHORIZATION_FAILED/],
    }),
  ];
}

const wrongPassword = "wrong-password-Ü";

/** What a round of restarts takes at least: nodes that come back need a while to catch up. */
const pauseS = 6;

/**
 * Sessions of three seconds, three brokers that restart one after the other, and a producer that never stops; round after
 * round if it is to last longer.
 */
async function runLoadOn(runtime, { version, tokens, loadS = 0, tally, log }) {
  const kafka = await startSecureKafka({ version, nodes: 3, tokens });
  try {
    const { brokers, brokersOf, ca, libs, nodes } = kafka;
    const topic = "load";
    await runClient("java", libs, "create", { brokers, partitions, topics: [topic] });
    const [username, password] = Object.entries(users)[0];
    const each = {
      name: "load",
      topics: [topic],
      count: 0,
      secrets: [password],
      options: { brokers: brokersOf("SASL_SSL"), tls: { ca: ca.cert } },
      sasl: { mechanism: "scram-sha-256", username, password },
    };
    let restarts = 0;
    const { reports, problem } = await runPlan(runtime, [each], async () => {
      await new Promise((resolve) => setTimeout(resolve, 2 * sessionMs));
      const endMs = performance.now() + 1_000 * loadS;
      do {
        for (const node of nodes) {
          await node.kill("SIGTERM");
          await node.start();
          restarts += 1;
          if (loadS > 0) await new Promise((resolve) => setTimeout(resolve, 1_000 * pauseS));
        }
      } while (performance.now() < endMs);
      await new Promise((resolve) => setTimeout(resolve, sessionMs));
    });
    const { count = 0, failures = [], authentications = 0, ...report } = reports.get("load") ?? {};
    const lines = [problem, report.problem].filter((line) => line !== undefined);
    for (const { name, code, message } of failures) lines.push(`a record failed: ${name} ${code}: ${message}`);
    const found = await runClient("java", libs, "read", {
      brokers,
      partitions,
      withinMs: 60_000 + 100 * loadS,
      topics: [{ topic, count }],
    });
    tally.check(
      `Kafka ${version}, ${runtime}: no record fails, is lost or doubled while sessions end and brokers restart`,
      [
        ...lines,
        ...lost(found, count),
        // Each of three connections proves itself every three seconds, for half a minute.
        ...authentications < 15 ? [`the client has proved itself ${authentications} times only`] : [],
      ],
    );
    log(`Kafka ${version}, ${runtime}: ${count} records, ${authentications} authentications, ${restarts} restarts`);
  } finally {
    await kafka.stop();
  }
}

/** What is missing, doubled or out of order, by partition. */
function lost(found, count) {
  const problems = [];
  for (let partition = 0; partition < partitions; partition++) {
    const values = found.filter((line) => line.partition === partition).sort((a, b) => a.offset - b.offset)
      .map(({ value }) => Number(Buffer.from(value, "base64").toString()));
    const wanted = Array.from(
      { length: Math.ceil((count - partition) / partitions) },
      (_, i) => partition + i * partitions,
    );
    const at = wanted.findIndex((value, i) => values[i] !== value);
    if (at >= 0 || values.length !== wanted.length) {
      problems.push(
        `partition ${partition}: ${values.length} of ${wanted.length}, from ${at} on ${values.slice(at, at + 5)}`,
      );
    }
  }
  return problems;
}

/** Runs cases on a runtime, and something beside them; resolves to reports by name. */
async function runPlan(runtime, cases, beside, authorities = []) {
  const reports = new Map();
  let isOver = beside === undefined;
  const server = createServer((request, response) => {
    if (request.url === "/until") return response.end(isOver ? "stop" : "go on");
    if (request.method === "GET") return response.end(JSON.stringify(plan));
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const report = JSON.parse(Buffer.concat(chunks).toString());
      reports.set(report.name, report);
      response.end();
    });
  });
  const address = `http://127.0.0.1:${await listenAnywhere(server)}`;
  const plan = cases.map((each) => ({ ...each, ...beside === undefined ? {} : { until: `${address}/until` } }));
  try {
    const ran = runtime === "workerd" ? startWorker(`${address}/`, authorities) : startProcess(runtime, `${address}/`);
    await beside?.();
    isOver = true;
    const { code, output } = await ran;
    return { reports, problem: code === 0 ? undefined : `${runtime} ended with ${code}: ${output.slice(-2_000)}` };
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** Longer than any load. */
const planMs = 1_200_000;

/** Node 20 runs what is compiled, the others the sources. */
async function startProcess(runtime, address) {
  const flags = {
    deno: ["run", "--no-prompt", "--no-check", "--allow-net=127.0.0.1", "--allow-env", "--allow-read=."],
    bun: [],
  }[runtime] ?? ["--disable-warning=ExperimentalWarning"];
  if (runtime === "node20") await build();
  const main = join(
    root,
    runtime === "node20" ? "dist/test/interop/security/client_main.js" : "test/interop/security/client_main.ts",
  );
  return await run(runtimeBinary(runtime), [...flags, main, address], { timeoutMs: planMs });
}

async function startWorker(address, authorities) {
  const dir = await legDir("security-workerd");
  const entry = join(dir, "entry.mjs");
  const source = JSON.stringify(join(root, "test/interop/security/client.ts"));
  await writeFile(
    entry,
    `import { runCases } from ${source};\nexport default { test: () => runCases(${JSON.stringify(address)}) };\n`,
  );
  await bundle(entry, join(dir, "worker.mjs"));
  const options = { timeoutMs: planMs, authorities };
  return await runWorker(runtimeBinary("workerd"), dir, "worker.mjs", ["nodejs_compat"], options);
}

/** Denies a user to write to a topic. */
async function forbid(libs, brokers, user, topic) {
  const args = ["--bootstrap-server", brokers, "--add", "--deny-principal", `User:${user}`, "--operation", "Write"];
  const command = [
    ...toolJvmFlags,
    "-cp",
    classPath(libs),
    "org.apache.kafka.tools.AclCommand",
    ...args,
    "--topic",
    topic,
  ];
  const { code, output } = await run("java", command);
  if (code !== 0) throw new Error(`Setting an ACL failed:\n${output}`);
}
