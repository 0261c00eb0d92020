/**
 * A Cloudflare Worker that writes the body of each request to a topic, with a producer for each request.
 *
 * A socket of a Worker belongs to the request that opened it, so a producer does too. It is closed behind the response
 * (`waitUntil`). What it has learnt of the cluster outlives it as plain data: with the snapshot the next one in the same
 * isolate dials the leader at once, and asks nobody where it is. See `durable_object.ts` for one producer that serves
 * all requests.
 *
 * `wrangler` needs no more than this file and `KAFKA_BROKERS` among its vars, `KAFKA_USERNAME` and `KAFKA_PASSWORD`
 * among its secrets if the cluster wants them; `worker.capnp` runs it on a bare workerd:
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic hits &
 *     npx esbuild examples/worker.ts --bundle --format=esm --alias:@sluice/kafka=./mod.ts \
 *       --conditions=workerd --external:node:* --external:cloudflare:* --outfile=.cache/worker.js
 *     npx workerd serve examples/worker.capnp
 *     curl --data hello http://localhost:8787/
 */

import { type ClusterSnapshot, isRetriable, Producer } from "@sluice/kafka";

interface Env {
  readonly KAFKA_BROKERS: string;
  readonly KAFKA_USERNAME?: string;
  readonly KAFKA_PASSWORD?: string;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

let snapshot: ClusterSnapshot | undefined;

export default {
  async fetch(request: Request, env: Env, ctx: Context): Promise<Response> {
    const { KAFKA_BROKERS: brokers, KAFKA_USERNAME: username, KAFKA_PASSWORD: password = "" } = env;
    const producer = new Producer({
      brokers,
      ...(username === undefined ? {} : { tls: true, sasl: { mechanism: "SCRAM-SHA-256", username, password } }),
      ...(snapshot === undefined ? {} : { snapshot }),
      deliveryTimeoutMs: 10_000,
    });
    try {
      return Response.json(await producer.send({ topic: "hits", value: await request.text() }));
    } catch (error) {
      return new Response(String(error), { status: isRetriable(error) ? 503 : 500 });
    } finally {
      snapshot = producer.snapshot();
      ctx.waitUntil(producer.close());
    }
  },
};
