/**
 * A registry that answers as Confluent's does, and takes nothing that Confluent's wouldn't.
 *
 * @module
 */

import type { FetchedResponse, FetchLike } from "../../src/runtime/fetch.ts";

/** A request as it came. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** What is answered in place of what the registry has to say. */
export type Override = (asked: Asked) => FetchedResponse | Error | undefined;

/** A registry in memory. */
export class FakeRegistry {
  /** The requests so far. */
  readonly asked: Asked[] = [];
  /** How many requests are under way. */
  inFlight = 0;
  /** The most requests that were under way at once. */
  most = 0;
  /** Looked at before anything else. */
  override: Override = () => undefined;
  readonly #hasGuids: boolean;
  readonly #subjects = new Map<string, number[]>();
  readonly #schemas: string[] = [];

  /** Makes an empty one; without GUIDs it is one of before Confluent Platform 8. */
  constructor(options: { readonly hasGuids?: boolean } = {}) {
    this.#hasGuids = options.hasGuids ?? true;
  }

  /** What stands in for `fetch`. */
  readonly fetch: FetchLike = async (url, init) => {
    const body = init.body === undefined ? undefined : JSON.parse(init.body);
    const asked: Asked = { method: init.method, url, headers: init.headers, body };
    this.asked.push(asked);
    this.inFlight += 1;
    this.most = Math.max(this.most, this.inFlight);
    await Promise.resolve();
    this.inFlight -= 1;
    const answer = this.override(asked) ?? this.#answer(asked);
    if (answer instanceof Error) throw answer;
    return answer;
  };

  #answer({ body, method, url }: Asked): FetchedResponse {
    const path = url.replace(/^https?:\/\/[^/]+/, "").replace(/\?.*$/, "").split("/").slice(1).map(decodeURIComponent);
    const [kind, name = "", what, version] = path;
    if (method === "GET" && kind === "schemas") return this.#schema(name === "ids" ? Number(what) : this.#idOf(what!));
    if (kind !== "subjects") return json(404, { error_code: 404, message: "HTTP 404 Not Found" });
    const ids = this.#subjects.get(name) ?? [];
    if (method === "GET") {
      const index = version === "latest" ? ids.length - 1 : Number(version) - 1;
      const id = ids[index];
      if (id === undefined) return json(404, { error_code: 40402, message: `Version ${version} not found.` });
      return json(200, {
        subject: name,
        version: index + 1,
        ...this.#registered(id),
        ...JSON.parse(this.#schemas[id - 1]!),
      });
    }
    const text = JSON.stringify(body);
    if (what === "versions") {
      if (String(body!.schema).includes("incompatible")) {
        return json(409, { error_code: 409, message: 'Schema being registered is incompatible with "an earlier one"' });
      }
      const known = this.#schemas.indexOf(text) + 1;
      const id = known || this.#schemas.push(text);
      if (!ids.includes(id)) this.#subjects.set(name, [...ids, id]);
      return json(200, this.#registered(id));
    }
    if (ids.length === 0) return json(404, { error_code: 40401, message: `Subject '${name}' not found.` });
    const id = ids.find((each) => this.#schemas[each - 1] === text);
    return id === undefined
      ? json(404, { error_code: 40403, message: "Schema not found" })
      : json(200, { subject: name, version: ids.indexOf(id) + 1, ...this.#registered(id), schema: body!.schema });
  }

  #schema(id: number): FetchedResponse {
    const text = this.#schemas[id - 1];
    if (text === undefined) return json(404, { error_code: 40403, message: "Schema not found" });
    return json(200, JSON.parse(text));
  }

  #registered(id: number): { id: number; guid?: string } {
    return this.#hasGuids ? { id, guid: guidOf(id) } : { id };
  }

  #idOf(guid: string): number {
    return Number.parseInt(guid.slice(-4), 16);
  }
}

/** The GUID of an id. */
export function guidOf(id: number): string {
  return `00112233-4455-6677-8899-aabbccdd${id.toString(16).padStart(4, "0")}`;
}

/** An answer in pieces, as those of the platform are. */
export function json(status: number, body: unknown): FetchedResponse {
  return textual(status, JSON.stringify(body));
}

/** An answer that may be no JSON. */
export function textual(status: number, text: string): FetchedResponse {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return {
    status,
    text: () => Promise.resolve(text),
    body: {
      getReader: () => ({
        read: () => {
          const value = bytes.subarray(at, at += 7);
          return Promise.resolve(value.length === 0 ? { done: true } : { done: false, value });
        },
        cancel: () => Promise.resolve(),
      }),
    },
  };
}
