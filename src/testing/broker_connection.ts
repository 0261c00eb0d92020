/**
 * One connection at the broker's side: requests are served one at a time, in the order of their coming.
 *
 * @module
 */

import { ApiVersions } from "../protocol/messages/api_versions.ts";
import { Produce } from "../protocol/messages/produce.ts";
import { type AnyApi, decodeRequestHeader, encodeResponseFrame, type RequestHeader } from "../protocol/api.ts";
import type { RequestOf } from "../protocol/api.ts";
import type { Socket, SocketEvents } from "../runtime/runtime.ts";
import { advertisedRange, isServed } from "./api_versions_handler.ts";
import type { Broker } from "./broker.ts";
import type { Call, Outcome } from "./call.ts";
import type { EmbeddedCluster } from "./cluster.ts";
import type { ControlAction, RequestContext } from "./control.ts";
import { errorBody } from "./error_body.ts";
import { FrameAssembler } from "../protocol/frame_assembler.ts";
import { handlerOf } from "./handlers.ts";

/** Shorter than the shortest request header; Kafka closes the connection. */
const MIN_FRAME_BYTES = 10;
const UNSUPPORTED_VERSION = 35;

/** One connection, from its first byte to its end. */
export class BrokerConnection implements SocketEvents {
  readonly #cluster: EmbeddedCluster;
  readonly #broker: Broker;
  readonly #socket: Socket;
  readonly #listener: string;
  readonly #ended: () => void;
  readonly #id: number;
  readonly #frames: FrameAssembler;
  readonly #onClose = new Set<() => void>();
  #queue: Uint8Array[] = [];
  #serving = false;
  #closed = false;
  #dead = false;

  /** Serves what comes by a socket. */
  constructor(cluster: EmbeddedCluster, broker: Broker, socket: Socket, listener: string, ended: () => void) {
    this.#cluster = cluster;
    this.#broker = broker;
    this.#socket = socket;
    this.#listener = listener;
    this.#ended = ended;
    this.#id = cluster.nextConnectionId();
    this.#frames = new FrameAssembler(cluster.maxRequestBytes, (frame) => this.#queue.push(frame), MIN_FRAME_BYTES);
  }

  /** Bytes have come. */
  onData(chunk: Uint8Array): void {
    if (this.#closed) return;
    try {
      this.#frames.push(chunk);
    } catch {
      // Requests before the bad frame are still served; the client learns of the rest by the end.
      this.#queue.push(new Uint8Array(0));
    }
    this.#pump();
  }

  /** The connection has ended. */
  onClose(): void {
    this.#end();
  }

  /** The broker is no more: what it has begun isn't finished either. */
  die(): void {
    this.#dead = true;
    this.reset();
  }

  /** Ends it at once; answers that have not left are lost, what has begun is finished. */
  reset(): void {
    if (this.#closed) return;
    this.#end();
    this.#socket.destroy();
  }

  /** Ends it after what was answered has left. */
  #close(): void {
    if (this.#closed) return;
    this.#end();
    this.#socket.close();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    for (const callback of [...this.#onClose]) callback();
    this.#ended();
  }

  #pump(): void {
    while (!this.#serving && !this.#closed && this.#queue.length > 0) {
      this.#serving = true;
      try {
        const served = this.#serve(this.#queue.shift()!);
        if (served instanceof Promise) served.then((result) => this.#served(result), (error) => this.#failed(error));
        else this.#serving = served === "stuck";
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  #served(result: Served): void {
    this.#serving = result === "stuck";
    this.#pump();
  }

  /** A control function threw, or an answer of a test's own can't be written. */
  #failed(error: unknown): void {
    this.#cluster.reportFailure(error);
    this.#close();
  }

  /** Serves a request. Whatever can't be read closes the connection, as in Kafka. */
  #serve(frame: Uint8Array): Served | Promise<Served> {
    let header: RequestHeader;
    let body: unknown;
    try {
      header = decodeRequestHeader(frame);
      const { api, apiVersion, reader } = header;
      if (api !== undefined && this.#isUnknownApiVersions(api, apiVersion)) {
        this.#answer(api, 0, header.correlationId, {
          errorCode: UNSUPPORTED_VERSION,
          apiKeys: [{ apiKey: api.key, ...this.#rangeOf(api) }],
        });
        return "done";
      }
      if (api === undefined || !isServed(this.#cluster, this.#broker, api, apiVersion)) {
        this.#close();
        return "done";
      }
      body = api.decodeRequest(reader, apiVersion);
    } catch {
      this.#close();
      return "done";
    }
    const api = header.api!;
    const context: RequestContext = {
      brokerId: this.#broker.id,
      connectionId: this.#id,
      version: header.apiVersion,
      correlationId: header.correlationId,
      clientId: header.clientId,
      atMs: this.#cluster.clock.now(),
    };
    this.#cluster.recording.add({ ...context, api, body: body as never, frame });
    const call: Call = {
      cluster: this.#cluster,
      broker: this.#broker,
      listener: this.#listener,
      version: header.apiVersion,
      request: body as Call["request"],
      onClose: (callback) => {
        this.#onClose.add(callback);
        return () => void this.#onClose.delete(callback);
      },
    };
    const action = this.#cluster.controls.decide(api, body, context);
    if (action !== undefined) return this.#control(api, context, call, action);
    const outcome = handlerOf(api)(call);
    if (outcome instanceof Promise) return outcome.then((settled) => this.#finish(api, context, settled));
    return this.#finish(api, context, outcome);
  }

  #finish(api: AnyApi, context: RequestContext, outcome: Outcome): Served {
    if (outcome === "silence") return "stuck";
    if (outcome === "close") this.#close();
    else if (outcome !== "nothing") this.#answer(api, context.version, context.correlationId, outcome);
    return "done";
  }

  async #control(api: AnyApi, context: RequestContext, call: Call, action: ControlAction): Promise<Served> {
    if (action.delayMs !== undefined) await this.#cluster.sleep(action.delayMs);
    if (this.#dead) return "done";
    if (action.close || action.drop === "before") {
      this.#close();
      return "done";
    }
    const replaces = action.respond !== undefined || action.error !== undefined || action.bytes !== undefined ||
      action.silence === true;
    let outcome: Outcome = "nothing";
    if (!replaces || action.apply) outcome = await handlerOf(api)(call);
    if (action.drop === "after") {
      this.#close();
      return "done";
    }
    if (action.answerDelayMs !== undefined) await this.#cluster.sleep(action.answerDelayMs);
    if (!replaces) return this.#finish(api, context, outcome);
    if (action.silence) return "stuck";
    if (action.bytes !== undefined) {
      if (!this.#closed) this.#socket.write(action.bytes.slice());
      return "done";
    }
    if (isUnanswered(api, call.request)) return this.#finish(api, context, action.respond ? "nothing" : "close");
    return this.#finish(
      api,
      context,
      (action.respond ?? errorBody(api, context.version, call.request, action.error!, outcome)) as Outcome,
    );
  }

  #answer(api: AnyApi, version: number, correlationId: number, body: unknown): void {
    if (this.#closed) return;
    this.#socket.write(encodeResponseFrame(api, version, correlationId, body as never));
  }

  #isUnknownApiVersions(api: AnyApi, version: number): boolean {
    return api.key === ApiVersions.key && (version < 0 || version > this.#rangeOf(api).maxVersion);
  }

  #rangeOf(api: AnyApi): { minVersion: number; maxVersion: number } {
    const [minVersion, maxVersion] = advertisedRange(this.#cluster, this.#broker, api) ?? [0, 0];
    return { minVersion, maxVersion };
  }
}

type Served = "done" | "stuck";

/** Produce with acks 0 is never answered. */
function isUnanswered(api: AnyApi, request: unknown): boolean {
  return api.key === Produce.key && (request as RequestOf<typeof Produce>).acks === 0;
}
