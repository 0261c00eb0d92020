import assert from "node:assert/strict";
import type { Broker } from "../../src/cluster/broker.ts";
import { firstSuccess } from "../../src/cluster/first_success.ts";
import { AuthenticationError, ConnectionError } from "../../src/errors.ts";
import { brokerError } from "../../src/protocol/error_codes.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** As much of a broker as is asked; its host is its name. */
function broker(name: string): Broker {
  return { address: { host: name, port: 1 } } as unknown as Broker;
}

/** Asks servers that answer, fail or hang as their scripts say, and tells who was asked when. */
async function askAll(
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

test("first success: goes on at once after a failure and after a second of silence, and takes the first answer", async () => {
  assert.deepEqual(await askAll({ a: refuses, b: never, c: () => Promise.resolve("yes"), d: never }), {
    ...{ asked: ["a 0", "b 0", "c 1000"], outcome: "yes", leftTimers: 0 },
  });
  const all = await askAll({ a: refuses, b: refuses });
  assert.deepEqual([all.asked, all.leftTimers], [["a 0", "b 0"], 0]);
  assert.equal(all.outcome, "BROKERS_UNREACHABLE: Tried a:1: Refused.; b:1: Refused.");
  assert.equal((await askAll({})).outcome, "BROKERS_UNREACHABLE: Tried nobody");
});

test("first success: a signal that is aborted before is told at once, and nobody is asked", async () => {
  const runtime = new VirtualRuntime();
  const ask = (): Promise<string> => assert.fail("somebody was asked");
  const asking = firstSuccess(runtime, [broker("a")], ask, 1_000, AbortSignal.abort());
  const error = await runtime.runUntil(asking.catch((each) => each), 1_000);
  assert.deepEqual([error.code, runtime.pendingTimers], ["BROKERS_UNREACHABLE", 0]);
});

test("first success: while some hang, those that have failed get another chance, one a second", async () => {
  const back = (attempt: number): Promise<string> => attempt < 3 ? refuses() : Promise.resolve("back");
  assert.deepEqual(await askAll({ a: back, b: never, c: refuses }), {
    ...{ asked: ["a 0", "b 0", "c 1000", "a 2000", "c 3000", "a 4000"], outcome: "back", leftTimers: 0 },
  });
});

test("first success: refused credentials, and a broker that says that everything known is wrong, end it", async () => {
  for (const error of [new AuthenticationError("Wrong password."), brokerError(129)]) {
    const { asked, outcome, leftTimers } = await askAll({ a: () => Promise.reject(error), b: never });
    assert.deepEqual([asked, outcome, leftTimers], [["a 0"], `${error.code}: ${error.message}`, 0]);
  }
});
