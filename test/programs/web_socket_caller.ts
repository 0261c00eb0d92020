/**
 * Sends records through a WebSocket and prints how they are delivered; knows no runtime. By hand:
 * `deno run -A test/programs/web_socket_caller.ts PROXY BROKERS`.
 */

import { Producer } from "../../mod.ts";
import { webSocketConnect } from "../../src/runtime/mod.ts";

/** Sends a hundred records of three sizes, through three connections; resolves to how many were acknowledged. */
export async function send(proxy: string, brokers: string, topic: string): Promise<number> {
  const connect = webSocketConnect(proxy, { token: "a token" });
  const producer = new Producer({ brokers, connect, compression: "lz4" });
  const sends = Array.from({ length: 100 }, (_, i) => {
    return producer.send({ topic, partition: i % 3, value: `${i} ${"x".repeat([1, 1_000, 50_000][i % 3]!)}` });
  });
  const delivered = await Promise.all(sends);
  await producer.close();
  return delivered.filter(({ delivery }) => delivery === "acked").length;
}

const { process } = globalThis as unknown as { process?: { argv: string[] } };
if (process !== undefined && process.argv.length > 4) {
  const [proxy, brokers, topic] = process.argv.slice(2) as [string, string, string];
  console.log(`${await send(proxy, brokers, topic)} acked`);
}
