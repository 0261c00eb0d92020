/**
 * A Cloudflare Worker that writes the body of each request to a topic.
 *
 * A socket of a Worker belongs to the request that opened it, so each request has a producer of its own. `wrangler`
 * needs no more than this file and `KAFKA_BROKERS` among its vars; `worker.capnp` runs it on a bare workerd:
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic hits &
 *     npx esbuild examples/worker.ts --bundle --format=esm --alias:@sluice/kafka=./mod.ts \
 *       --conditions=workerd --external:node:* --external:cloudflare:* --outfile=.cache/worker.js
 *     npx workerd serve examples/worker.capnp
 *     curl --data hello http://localhost:8787/
 */

import { Producer } from "@sluice/kafka";

export default {
  async fetch(request: Request, env: { readonly KAFKA_BROKERS: string }): Promise<Response> {
    const producer = new Producer({ brokers: env.KAFKA_BROKERS });
    try {
      return Response.json(await producer.send({ topic: "hits", value: await request.text() }));
    } finally {
      await producer.close();
    }
  },
};
