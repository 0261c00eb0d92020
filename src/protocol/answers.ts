/**
 * What no broker answers, though each number by itself could be right: a partition twice, a record that wasn't sent.
 *
 * What a client only passes over is left alone (topics and partitions that it didn't ask for): it costs nothing and
 * teaches nothing, and a broker that adds something of its own stays usable.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { type RequestLimits, STRAYS } from "./bounds.ts";
import { Produce, recordCount } from "./messages/produce.ts";
import type { AnyApi, RequestInputOf } from "./schema.ts";

type ProduceInput = RequestInputOf<typeof Produce>;

/** What the request tells of its answer. */
export function limitsOf(api: AnyApi, request: unknown): RequestLimits {
  if (api.key === Produce.key) return new ProduceLimits(request as ProduceInput);
  return new AskedLimits(request as object);
}

/** Counted when they are asked for: most answers have no lists. */
class AskedLimits implements RequestLimits {
  readonly records: number = Infinity;
  readonly #request: object;
  #entries: number | undefined;

  constructor(request: object) {
    this.#request = request;
  }

  get entries(): number {
    return this.#entries ??= entriesOf(this.#request) + STRAYS;
  }
}

/** What asks for all that there are when it is null; null elsewhere leaves a default to the broker. */
const ALL = ["topics", "groups"];

/** How many elements the lists of a request have in all: no answer names more of what it was asked for. */
function entriesOf(request: object): number {
  let sum = 0;
  for (const [name, value] of Object.entries(request)) {
    if (value === null && ALL.includes(name)) return Infinity;
    if (!Array.isArray(value)) continue;
    sum += value.length;
    for (const each of value) {
      if (typeof each !== "object") break;
      sum += entriesOf(each);
    }
  }
  return sum;
}

/** Counted when they are asked for: few answers list record errors. */
class ProduceLimits implements RequestLimits {
  readonly #request: ProduceInput;
  #entries: number | undefined;
  #records: number | undefined;

  constructor(request: ProduceInput) {
    this.#request = request;
  }

  get entries(): number {
    return this.#entries ??= this.#request.topicData.reduce((sum, topic) => sum + topic.partitionData.length, STRAYS);
  }

  get records(): number {
    if (this.#records !== undefined) return this.#records;
    let most = 0;
    for (const { partitionData } of this.#request.topicData) {
      for (const { records } of partitionData) most = Math.max(most, recordCount(records));
    }
    return this.#records = most;
  }
}

/**
 * Looks at an answer as a whole, by what stands beside the API's declaration.
 *
 * @throws {ProtocolError} naming the field, the value, and what is wanted, when it can't be right
 */
export function checkAnswer(api: AnyApi, version: number, request: unknown, answer: unknown): void {
  try {
    api.check?.(answer as never, request as never, version);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError(`Decoding ${api.name} v${version} response, field ${error.message}`, { cause: error });
  }
}
