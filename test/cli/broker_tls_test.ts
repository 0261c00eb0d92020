import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { main } from "../../src/cli/main.ts";
import { test } from "../harness.ts";
import { world } from "./world.ts";

test("cli broker: with --tls it prints the authority that clients trust, and nobody else is let in", {
  needs: "listen",
}, async (t) => {
  const io = world([]);
  const running = main(["broker", "--tls", "--port", "0", "--topic", "orders"], io);
  t.after(() => io.interrupt());
  while (!io.out.includes("END CERTIFICATE")) await new Promise((resolve) => setTimeout(resolve, 1));
  const [, brokers = ""] = /^Listening on (\S+)\n-----BEGIN CERTIFICATE-----\n/.exec(io.out)!;
  // All that was printed, as a shell would write it to a file.
  const trusting = new Producer({ brokers, tls: { ca: io.out } });
  assert.equal((await trusting.send({ topic: "orders", value: "v" })).delivery, "acked");
  await trusting.close();
  const stranger = new Producer({ brokers, tls: true });
  await assert.rejects(stranger.connect(), /is not trusted\. Give the CA/);
  await stranger.close();
  io.interrupt();
  assert.equal(await running, 0);
});
