import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { produce } from "../../src/cli/produce.ts";
import { producerSink } from "../../src/cli/sink.ts";
import { Warnings } from "../../src/cli/warnings.ts";
import { EmbeddedCluster, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { commandOf, world } from "./world.ts";

test("cli warnings: a topic that is missing is told while the run waits for it, and the error comes last", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const io = world(["v\n"]);
  const command = commandOf({
    topic: "nope",
    producer: { brokers: cluster.bootstrap, deliveryTimeoutMs: 5_000, maxBlockMs: 5_000 },
  });
  const exitCode = await produce(command, io, (options) => {
    return producerSink(new Producer({ ...options, connect: cluster.sockets } as never));
  });
  assert.equal(exitCode, 1);
  const lines = io.err.trim().split("\n");
  assert.match(lines[0]!, /^sluice: warning: Topic "nope": .*UNKNOWN_TOPIC_OR_PARTITION.*Create the topic/);
  assert.match(lines.at(-1)!, /^sluice: Topic "nope" could not be/);
  assert.equal(lines.length, 2, io.err);
});

test("cli warnings: lines of JSON where progress is, a clean line on a terminal, and nothing a terminal would obey", () => {
  const fields = { reason: "No \u001b[2Jleader", advice: "Wait.", records: 3 };
  const shown = (isTTY: boolean, asJson: boolean, isTyped = false): string => {
    let text = "";
    const { logger } = new Warnings({ isTTY, isTyped, stderr: (more) => void (text += more) }, asJson);
    logger.warn!("waiting", fields);
    logger.warn!("batch_failed", fields);
    return text;
  };
  assert.deepEqual(JSON.parse(shown(false, true)), { warning: "waiting", ...fields });
  assert.equal(shown(false, false), "sluice: warning: No \\u001b[2Jleader. Wait.\n");
  assert.equal(shown(true, false), "\r\u001b[Ksluice: warning: No \\u001b[2Jleader. Wait.\n");
  // Where somebody types, what was typed stays.
  assert.equal(shown(true, false, true), "sluice: warning: No \\u001b[2Jleader. Wait.\n");
});

test("cli warnings: that a server can't be dialled is told only while the run goes on", async () => {
  const runtime = new VirtualRuntime();
  let text = "";
  const warnings = new Warnings(
    { isTTY: false, isTyped: false, stderr: (more) => void (text += more) },
    false,
    (callback, delayMs) => {
      const timer = runtime.setTimer(callback, delayMs);
      return () => timer.cancel();
    },
  );
  const failed = { broker: "b:1", error: { message: "Refused" }, advice: "Start it." };
  warnings.logger.warn!("connect_failed", failed);
  warnings.end();
  await runtime.advance(5_000);
  assert.equal(text, "");
  warnings.logger.warn!("connect_failed", failed);
  await runtime.advance(1_999);
  assert.equal(text, "");
  await runtime.advance(1);
  assert.equal(text, "sluice: warning: Refused. Start it.\n");
});
