/**
 * An HTTP server on Deno that answers a request once its body is in the topic.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic notes &
 *     deno run --allow-net --allow-env examples/deno_server.ts
 *     curl --data hello http://localhost:8000/key-1
 *
 * `PORT=0` takes a free port.
 */

import { isRetriable, Producer } from "@sluice/kafka";

const producer = new Producer({ brokers: Deno.env.get("KAFKA_BROKERS") ?? "localhost:9092" });

const server = Deno.serve({
  hostname: "127.0.0.1",
  port: Number(Deno.env.get("PORT") ?? 8000),
  onListen: ({ hostname, port }) => console.log(`Listening on http://${hostname}:${port}/`),
}, async (request) => {
  const key = new URL(request.url).pathname.slice(1);
  try {
    return Response.json(await producer.send({ topic: "notes", key, value: await request.text() }));
  } catch (error) {
    return new Response(String(error), { status: isRetriable(error) ? 503 : 500 });
  }
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, async () => {
    // Those who have been let in get their answers, then the producer has nothing left to do.
    await server.shutdown();
    await producer.close();
    Deno.exit();
  });
}
