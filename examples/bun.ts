/**
 * An HTTP server on Bun that answers a request once its body is in the topic.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic posts &
 *     bun examples/bun.ts
 *     curl --data hello http://localhost:3000/key-1
 *
 * `PORT=0` takes a free port.
 */

import { isRetriable, Producer } from "@sluice/kafka";

const producer = new Producer({ brokers: Bun.env.KAFKA_BROKERS ?? "localhost:9092" });

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Bun.env.PORT ?? 3000,
  async fetch(request) {
    const key = new URL(request.url).pathname.slice(1);
    try {
      return Response.json(await producer.send({ topic: "posts", key, value: await request.text() }));
    } catch (error) {
      return new Response(String(error), { status: isRetriable(error) ? 503 : 500 });
    }
  },
});
console.log(`Listening on ${server.url}`);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    await server.stop();
    await producer.close();
  });
}
