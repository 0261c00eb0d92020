/**
 * A Durable Object with one producer for all requests: connections stay open from one request to the next, and records
 * of requests that come at the same time share Produce requests. The Worker in front of it only hands requests on.
 *
 * `wrangler` needs a binding `PRODUCER` of the class `KafkaProducer` and `KAFKA_BROKERS` among its vars;
 * `durable_object.capnp` runs it on a bare workerd, as `worker.ts` says:
 *
 *     npx esbuild examples/durable_object.ts … --outfile=.cache/durable_object.js
 *     npx workerd serve examples/durable_object.capnp
 */

import { isRetriable, Producer } from "@sluice/kafka";

interface Env {
  readonly KAFKA_BROKERS: string;
  readonly KAFKA_USERNAME?: string;
  readonly KAFKA_PASSWORD?: string;
  readonly PRODUCER: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

/** Lives as long as it is used, and some seconds more; what was sent has its outcome by then. */
export class KafkaProducer {
  readonly #producer: Producer;

  constructor(_: unknown, env: Env) {
    const { KAFKA_BROKERS: brokers, KAFKA_USERNAME: username, KAFKA_PASSWORD: password = "" } = env;
    this.#producer = new Producer({
      brokers,
      ...(username === undefined ? {} : { tls: true, sasl: { mechanism: "SCRAM-SHA-256", username, password } }),
      deliveryTimeoutMs: 10_000,
      // Nobody pays for an object that sleeps, and open connections keep it awake.
      connectionMaxIdleMs: 30_000,
    });
  }

  async fetch(request: Request): Promise<Response> {
    try {
      return Response.json(await this.#producer.send({ topic: "clicks", value: await request.text() }));
    } catch (error) {
      return new Response(String(error), { status: isRetriable(error) ? 503 : 500 });
    }
  }
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    // More objects, by the hour or by a hash, where one is not enough.
    return env.PRODUCER.get(env.PRODUCER.idFromName("the only one")).fetch(request);
  },
};
