/**
 * Topics that are looked up without a record: `partitionsFor`, and whatever else wants to know one before it sends.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import { ConfigError, type KafkaError, TimeoutError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { show } from "../show.ts";
import type { TopicQueues, TopicWaiter } from "./accumulator/topic_queues.ts";
import type { Router } from "./admission/router.ts";
import type { Diagnostics } from "./observe/diagnosis.ts";
import { within } from "./within.ts";

/** What a lookup works with. */
export interface TopicLookupParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly router: Router;
  readonly diagnostics: Diagnostics;
}

/** Owns the calls that wait for a topic's metadata without a record. */
export class TopicLookup {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #router: Router;
  readonly #diagnostics: Diagnostics;
  readonly #maxBlockMs: number;
  /** Ends the waiting of each call. */
  readonly #waiting: Set<(error: KafkaError) => void> = new Set();

  /** Waits up to `maxBlockMs` for each topic. */
  constructor({ maxBlockMs }: { readonly maxBlockMs: number }, parts: TopicLookupParts) {
    this.#maxBlockMs = maxBlockMs;
    this.#runtime = parts.runtime;
    this.#cluster = parts.cluster;
    this.#router = parts.router;
    this.#diagnostics = parts.diagnostics;
  }

  /** Resolves to the topic once it is known, at once if it is; rejects with the reason why it can't be. */
  async find(name: string): Promise<TopicQueues> {
    const topic = this.#router.topic(name);
    if (!this.#router.isKnown(topic)) await this.#wait(topic);
    return topic;
  }

  /** Ends all calls. */
  close(error: KafkaError): void {
    for (const giveUp of this.#waiting) giveUp(error);
  }

  #wait(topic: TopicQueues): Promise<void> {
    const waiter: TopicWaiter & { gone: boolean } = { gone: false, onTopic: () => false };
    let giveUp: (error: KafkaError) => void;
    const known = new Promise<void>((resolve, reject) => {
      giveUp = reject;
      this.#waiting.add(giveUp);
      waiter.onTopic = () => {
        const { errorCode } = topic.metadata;
        const { retriable } = brokerError(errorCode);
        if (this.#router.isKnown(topic)) resolve();
        else if (errorCode !== 0 && !retriable) reject(brokerError(errorCode, { topic: topic.name }));
        else if (this.#cluster.lastError instanceof ConfigError) reject(this.#cluster.lastError);
        else return false;
        return true;
      };
      topic.waiters.push(waiter);
      void this.#cluster.requestUpdate();
    });
    const late = (): TimeoutError => this.#lateError(topic);
    return within(this.#runtime, known, { timeoutMs: this.#maxBlockMs }, late).finally(() => {
      waiter.gone = true;
      this.#waiting.delete(giveUp);
    });
  }

  #lateError(topic: TopicQueues): TimeoutError {
    const { reason, advice, error } = this.#diagnostics.ofTopic(topic).explain();
    const { errorCode } = topic.metadata;
    const isTold = errorCode !== 0 && error?.errorCode === errorCode;
    const message = `Topic ${show(topic.name)} could not be looked up within ${this.#maxBlockMs} ms (maxBlockMs). ` +
      `${reason} ${advice}`;
    const own = isTold ? { code: error.code, errorCode } : {};
    return new TimeoutError(message, { topic: topic.name, cause: error, ...own });
  }
}
