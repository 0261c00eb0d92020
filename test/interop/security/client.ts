/**
 * What each runtime does in the security part of the interop tests: fetches the plan from the script that started it,
 * runs each case, and posts what came of it. Knows no runtime: the address comes in, the rest is `fetch`.
 */
import { KafkaError, Producer, type ProducerOptions } from "../../../mod.ts";
import { oauthBearer, oidc, type OidcOptions, type SaslMechanism } from "../../../src/sasl/mod.ts";

/** How to authenticate: by name, or with tokens of an endpoint. */
type PlannedSasl = ProducerOptions["sasl"] | { readonly oidc: OidcOptions } | { readonly unheardOf: string };

interface Case {
  readonly name: string;
  readonly options: ProducerOptions;
  readonly sasl?: PlannedSasl;
  readonly topic: string;
  /** Records to send, all at once. */
  readonly count: number;
}

/** How one attempt ended. */
interface Told {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  /** Everything that a program could print of it. */
  readonly everything: string;
  readonly tookMs: number;
}

/** Runs all cases of the plan at `address`, one after the other, and reports on each. */
export async function runCases(address: string): Promise<void> {
  const cases = await (await fetch(address)).json() as Case[];
  for (const each of cases) {
    const report = await runCase(each).catch((error: unknown) => ({ name: each.name, problem: String(error) }));
    await fetch(address, { method: "POST", body: JSON.stringify(report) });
  }
}

async function runCase({ name, options, sasl, topic, count }: Case): Promise<unknown> {
  const mechanism = sasl === undefined ? {} : { sasl: mechanismOf(sasl) };
  let producer: Producer;
  try {
    producer = new Producer({ clientId: "secure", ...options, ...mechanism });
  } catch (error) {
    return { name, refused: told(error, 0) };
  }
  const startedMs = performance.now();
  const outcome = async (promise: Promise<unknown>): Promise<Told | undefined> => {
    try {
      await promise;
      return undefined;
    } catch (error) {
      return told(error, performance.now() - startedMs);
    }
  };
  try {
    const sends = Array.from(
      { length: count },
      (_, i) => producer.send({ topic, key: `k${i}`, value: `${name} ${i}` }),
    );
    const [connected, ...sent] = await Promise.all([producer.connect(), ...sends].map(outcome));
    return { name, connected, sent };
  } finally {
    await producer.close({ timeoutMs: 5_000 }).catch(() => {});
  }
}

function mechanismOf(sasl: NonNullable<PlannedSasl>): NonNullable<ProducerOptions["sasl"]> {
  if ("oidc" in sasl) return oauthBearer({ token: oidc(sasl.oidc) });
  if ("unheardOf" in sasl) {
    return {
      name: sasl.unheardOf,
      authenticate: async ({ send }) => void await send(new Uint8Array(1)),
    } as SaslMechanism;
  }
  return sasl;
}

function told(error: unknown, tookMs: number): Told {
  const { name, message, stack, code } = error as KafkaError;
  const everything: string[] = [];
  for (let each = error; each instanceof Error && everything.length < 20; each = each.cause) {
    everything.push(String(each), String(each.stack), plainly(each), plainly(Object.entries(each)));
  }
  return { name, code, message, everything: `${stack} ${everything.join("\n")}`, tookMs };
}

/** As JSON; a certificate that stands in an error of Node's is a circle. */
function plainly(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "";
  }
}
