import assert from "node:assert/strict";
import type { Broker } from "../../src/cluster/broker.ts";
import { firstSuccess, tourOrder } from "../../src/cluster/tour.ts";
import { AuthenticationError, ConnectionError } from "../../src/errors.ts";
import { brokerError } from "../../src/protocol/error_codes.ts";
import { seededRandom, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** As much of a broker as a tour looks at; its host is its name. */
function broker(name: string, state: Partial<Record<keyof Broker, unknown>> = {}): Broker {
  const idle = { connection: undefined, connecting: false, backingOff: false, slow: false, lastError: undefined };
  return { nodeId: 1, address: { host: name, port: 1 }, ...idle, ...state } as unknown as Broker;
}

test("tour: asks the connected and the untried before bootstrap servers, and these before whoever has failed", () => {
  const lastError = new ConnectionError("Refused.");
  const brokers = [
    broker("frozen", { connection: { inFlight: 0 } }),
    broker("hangs", { connecting: true, slow: true }),
    broker("waits", { lastError, backingOff: true }),
    broker("waits, server", { lastError, backingOff: true }),
    broker("failed", { lastError }),
    broker("server", { nodeId: -1 }),
    broker("untried"),
    broker("dialled", { connecting: true }),
    broker("busy", { connection: { inFlight: 4 } }),
    broker("calm", { connection: { inFlight: 1 } }),
  ];
  for (let seed = 1; seed <= 20; seed++) {
    const order = tourOrder(brokers, {
      random: seededRandom(seed),
      isServer: ({ address }) => address.host.includes("server"),
      isSilent: ({ address }) => address.host === "frozen",
    }).map(({ address }) => address.host);
    const hung = order.splice(-2).sort();
    const wanted = ["calm", "busy", "dialled", "untried", "server", "failed", "waits, server", "waits"];
    assert.deepEqual([order, hung], [wanted, ["frozen", "hangs"]]);
  }
});

test("tour: equals are asked in an order of chance", () => {
  const random = seededRandom(1);
  const firsts = new Set(Array.from({ length: 50 }, () => {
    const brokers = ["a", "b", "c", "d"].map((name) => broker(name));
    return tourOrder(brokers, { random, isServer: () => false, isSilent: () => false })[0]!.address.host;
  }));
  assert.deepEqual([...firsts].sort(), ["a", "b", "c", "d"]);
});

/** Runs a tour whose servers answer, fail or hang as their scripts say, and tells who was asked when. */
async function tour(
  scripts: Record<string, (attempt: number) => Promise<string>>,
): Promise<{ asked: string[]; outcome: string; leftTimers: number }> {
  const runtime = new VirtualRuntime();
  const asked: string[] = [];
  const attempts = new Map<string, number>();
  const brokers = Object.keys(scripts).map((name) => broker(name));
  const ask = ({ address: { host } }: Broker): Promise<string> => {
    asked.push(`${host} ${runtime.now()}`);
    attempts.set(host, (attempts.get(host) ?? 0) + 1);
    return scripts[host]!(attempts.get(host)!);
  };
  const result = firstSuccess(runtime, brokers, ask, 1_000, new AbortController().signal);
  const outcome = await runtime.runUntil(result.catch((error) => `${error.code}: ${error.message}`), 10_000)
    .catch(() => "nothing");
  return { asked, outcome, leftTimers: runtime.pendingTimers };
}

const never = (): Promise<string> => new Promise(() => {});
const refuses = (): Promise<string> => Promise.reject(new ConnectionError("Refused."));

test("tour: goes on at once after a failure and after a second of silence, and takes the first answer", async () => {
  assert.deepEqual(await tour({ a: refuses, b: never, c: () => Promise.resolve("yes"), d: never }), {
    ...{ asked: ["a 0", "b 0", "c 1000"], outcome: "yes", leftTimers: 0 },
  });
  const all = await tour({ a: refuses, b: refuses });
  assert.deepEqual([all.asked, all.leftTimers], [["a 0", "b 0"], 0]);
  assert.equal(all.outcome, "BROKERS_UNREACHABLE: Tried a:1: Refused.; b:1: Refused.");
  assert.equal((await tour({})).outcome, "BROKERS_UNREACHABLE: Tried nobody");
});

test("tour: one that is over before it begins is told at once, and nobody is asked", async () => {
  const runtime = new VirtualRuntime();
  const ask = (): Promise<string> => assert.fail("somebody was asked");
  const tour = firstSuccess(runtime, [broker("a")], ask, 1_000, AbortSignal.abort());
  const error = await runtime.runUntil(tour.catch((each) => each), 1_000);
  assert.deepEqual([error.code, runtime.pendingTimers], ["BROKERS_UNREACHABLE", 0]);
});

test("tour: while some hang, those that have failed get another chance, one a second", async () => {
  const back = (attempt: number): Promise<string> => attempt < 3 ? refuses() : Promise.resolve("back");
  assert.deepEqual(await tour({ a: back, b: never, c: refuses }), {
    ...{ asked: ["a 0", "b 0", "c 1000", "a 2000", "c 3000", "a 4000"], outcome: "back", leftTimers: 0 },
  });
});

test("tour: refused credentials, and a broker that says that everything known is wrong, end it", async () => {
  for (const error of [new AuthenticationError("Wrong password."), brokerError(129)]) {
    const { asked, outcome, leftTimers } = await tour({ a: () => Promise.reject(error), b: never });
    assert.deepEqual([asked, outcome, leftTimers], [["a 0"], `${error.code}: ${error.message}`, 0]);
  }
});
