/**
 * What is used of `fetch`, which callers may replace by one of their own.
 *
 * @module
 */

/** What is used of an answer; that of the runtime's own `fetch` fits. */
export interface FetchedResponse {
  /** The HTTP status. */
  readonly status: number;
  /** The headers. */
  readonly headers?: { get(name: string): string | null } | undefined;
  /** The body, in pieces. */
  readonly body?:
    | {
      getReader(): {
        read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
        cancel(reason?: unknown): Promise<void>;
      };
    }
    | null
    | undefined;
  /** The body, as text. */
  text(): Promise<string>;
}

/** What is used of `fetch`. */
export type FetchLike = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body?: string;
    readonly signal: AbortSignal;
    readonly redirect: "manual";
  },
) => Promise<FetchedResponse>;

/** The text of a body; undefined if it is longer than so many bytes, the rest of which is not waited for. */
export async function readText(response: FetchedResponse, mostBytes: number): Promise<string | undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    const text = await response.text();
    return text.length > mostBytes ? undefined : text;
  }
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value?.length ?? 0;
    if (size > mostBytes) {
      // Whatever becomes of it: nobody reads on.
      reader.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}
