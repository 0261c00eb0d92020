/**
 * What each runtime does in the security part of the interop tests: fetches the plan from the script that started it,
 * runs each case, and posts what came of it. Knows no runtime: the address comes in, the rest is `fetch`.
 */
import { type KafkaError, Producer, type ProducerOptions } from "../../../mod.ts";
import { oauthBearer, oidc, type OidcOptions, type SaslMechanism } from "../../../src/sasl/mod.ts";
import { clientTelemetry } from "../../../src/telemetry/mod.ts";
import { everythingOf, leaksIn } from "../../secrets.ts";

/** How to authenticate: by name, with tokens of an endpoint, or with a mechanism that no broker has heard of. */
type PlannedSasl = NonNullable<ProducerOptions["sasl"]> | { readonly oidc: OidcOptions } | {
  readonly unheardOf: string;
};

interface Case {
  readonly name: string;
  readonly options: ProducerOptions;
  readonly sasl?: PlannedSasl;
  /** One record after the other goes to the next of these. */
  readonly topics: readonly string[];
  /** Records to send, all at once. */
  readonly count: number;
  /** Where to ask whether to stop; until then a record is sent every few ms. */
  readonly until?: string;
  /** Push metrics, and stay for so many ms before the end. */
  readonly telemetryMs?: number;
  /** What must stand in nothing that comes of it. */
  readonly secrets: readonly string[];
}

/** How one attempt ended. */
interface Told {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly leaks: readonly string[];
  readonly tookMs: number;
}

/** Runs all cases of the plan at `address`, one after the other, and reports on each. */
export async function runCases(address: string): Promise<void> {
  const cases = await (await fetch(address)).json() as Case[];
  for (const each of cases) {
    const run = each.until === undefined ? runCase(each) : runLoad(each, each.until);
    const report = await run.catch((error: unknown) => ({ problem: String((error as Error).stack ?? error) }));
    await fetch(address, { method: "POST", body: JSON.stringify({ name: each.name, ...report }) });
  }
}

async function runCase({ name, options, sasl, topics, count, telemetryMs, secrets }: Case): Promise<object> {
  let producer: Producer;
  try {
    const telemetry = telemetryMs === undefined ? {} : { telemetry: clientTelemetry() };
    producer = new Producer({ ...options, ...mechanismOf(sasl), ...telemetry });
  } catch (error) {
    return { connected: told(error, 0, secrets), sent: [] };
  }
  const startedMs = performance.now();
  const outcome = async (promise: Promise<unknown>): Promise<Told | null> => {
    try {
      await promise;
      return null;
    } catch (error) {
      return told(error, performance.now() - startedMs, secrets);
    }
  };
  try {
    const sends = Array.from({ length: count }, (_, i) => {
      return outcome(producer.send({ topic: topics[i % topics.length]!, key: `k${i}`, value: `${name} ${i}` }));
    });
    const [connected, ...sent] = await Promise.all([outcome(producer.connect()), ...sends]);
    if (telemetryMs !== undefined) await new Promise((resolve) => setTimeout(resolve, telemetryMs));
    return {
      connected,
      sent,
      leaks: leaksIn(everythingOf([producer, producer.metrics(), producer.snapshot()]), secrets),
    };
  } finally {
    await producer.close({ timeoutMs: 5_000 }).catch(() => {});
  }
}

/** Sends on while sessions are renewed and brokers restart: nothing may fail. */
async function runLoad({ options, sasl, topics, secrets }: Case, until: string): Promise<object> {
  let authentications = 0;
  const hooks = { onRequest: ({ api }: { api: string }) => void (api === "SaslHandshake" && authentications++) };
  const producer = new Producer({ ...options, ...mechanismOf(sasl), hooks });
  const failures: Told[] = [];
  let count = 0;
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      isOver = (await (await fetch(until)).text()) === "stop";
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  })();
  const sends: Promise<unknown>[] = [];
  while (!isOver) {
    for (let i = 0; i < 3; i++) {
      const partition = count % 3;
      const value = String(count++);
      const sent = producer.send({ topic: topics[0]!, partition, value });
      sends.push(sent.catch((error) => failures.push(told(error, 0, secrets))));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await asking;
  await Promise.all(sends);
  await producer.close();
  return { count, failures: failures.slice(0, 10), authentications };
}

function mechanismOf(sasl: PlannedSasl | undefined): { sasl?: NonNullable<ProducerOptions["sasl"]> } {
  if (sasl === undefined) return {};
  if ("oidc" in sasl) return { sasl: oauthBearer({ token: oidc(sasl.oidc) }) };
  if (!("unheardOf" in sasl)) return { sasl };
  const mechanism: SaslMechanism = {
    name: sasl.unheardOf,
    authenticate: async ({ send }) => void await send(new Uint8Array(1)),
  };
  return { sasl: mechanism };
}

function told(error: unknown, tookMs: number, secrets: readonly string[]): Told {
  const { name, message, code } = error as KafkaError;
  return { name, code, message, leaks: leaksIn(everythingOf(error), secrets), tookMs };
}
