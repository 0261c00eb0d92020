/**
 * One connection at the broker's side: requests are served one at a time, in the order of their coming.
 *
 * @module
 */

import { ApiVersions } from "../../protocol/messages/api_versions.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import { type AnyApi, encodeResponseFrame, type RequestOf } from "../../protocol/api.ts";
import { decodeRequestHeader, type RequestHeader } from "../../protocol/request_header.ts";
import { Reader } from "../../protocol/reader.ts";
import type { Socket, Timer } from "../../runtime/runtime.ts";
import { isDisturbed, sendDisturbed } from "./answer_faults.ts";
import { advertisedRange, isServed } from "./api_versions_handler.ts";
import type { Broker, ServedConnection } from "./broker.ts";
import type { Call, Outcome } from "./call.ts";
import type { ControlAction, RequestContext } from "./control.ts";
import { errorBody } from "./error_body.ts";
import { FrameAssembler } from "../../protocol/frame_assembler.ts";
import { UNSUPPORTED_VERSION } from "../../protocol/error_code_names.ts";
import { handlerOf } from "./handlers.ts";
import type { BrokerHost } from "./host.ts";
import { RELEASES } from "./release.ts";
import { type Admission, SaslGate, type SaslStep } from "./sasl.ts";
import type { ClusterView } from "../control/view.ts";

/** Kafka closes the connection at a length of 0; what is too short for a header is found out when it is read. */
const MIN_FRAME_BYTES = 1;
/** `connection.failed.authentication.delay.ms`. */
const FAILURE_DELAY_MS = 100;
/** What is recorded of a step of an authentication in place of its bytes, which are secret. */
const NO_BYTES = new Uint8Array(0);

/** One connection, from its first byte to its end. */
export class BrokerConnection implements ServedConnection {
  readonly #cluster: BrokerHost;
  readonly #broker: Broker;
  readonly #socket: Socket;
  readonly #listener: string;
  readonly #ended: () => void;
  readonly #id: number;
  readonly #frames: FrameAssembler;
  readonly #gate: SaslGate | undefined;
  readonly #onClose = new Set<() => void>();
  #queue: Uint8Array[] = [];
  #serving = false;
  #closed = false;
  #dead = false;
  readonly #life: number;
  #lastActiveMs: number;
  #idle: Timer | undefined;
  #muted: Timer | undefined;

  /** Serves what comes by a socket. */
  constructor(cluster: BrokerHost, broker: Broker, socket: Socket, listener: string, ended: () => void) {
    this.#cluster = cluster;
    this.#broker = broker;
    this.#socket = socket;
    this.#listener = listener;
    this.#ended = ended;
    this.#id = cluster.nextConnectionId();
    this.#life = broker.lives;
    this.#frames = new FrameAssembler(cluster.maxRequestBytes, (frame) => this.#queue.push(frame), MIN_FRAME_BYTES);
    this.#gate = cluster.sasl && new SaslGate(
      cluster.sasl,
      (api, version) => isServed(cluster, broker, api, version),
      () => cluster.clock.wallNow(),
    );
    this.#lastActiveMs = cluster.clock.now();
    this.#watchIdleness();
  }

  /** Bytes have come. */
  onData(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#lastActiveMs = this.#cluster.clock.now();
    try {
      this.#frames.push(chunk);
    } catch {
      // Requests before the bad frame are still served; the client learns of the rest by the end.
      this.#queue.push(new Uint8Array(0));
    }
    this.#pump();
  }

  /**
   * The client has gone away. What it had written is read all the same, as Kafka does: a request that nobody waits for
   * any more may be served when its retry has already come by another connection.
   */
  onClose(): void {
    const unread = this.#queue;
    this.#end();
    this.#queue = unread;
    this.#pump();
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
    this.#queue = [];
    if (this.#closed) return;
    this.#end();
    this.#socket.close();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#idle?.cancel();
    this.#muted?.cancel();
    for (const callback of [...this.#onClose]) callback();
    this.#ended();
  }

  #pump(): void {
    while (!this.#serving && !this.#isDead && this.#queue.length > 0) {
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

  /** The broker is no more, or it is another life of it. */
  get #isDead(): boolean {
    return this.#dead || this.#broker.lives !== this.#life;
  }

  #served(result: Served): void {
    this.#serving = result === "stuck";
    this.#pump();
  }

  /** A control function threw, or an answer of a test's own can't be written. */
  #failed(error: unknown): void {
    this.#cluster.failures.push(error);
    this.#close();
  }

  /** Serves a request. Whatever can't be read closes the connection, as in Kafka. */
  #serve(frame: Uint8Array): Served | Promise<Served> {
    let header: RequestHeader;
    let body: unknown;
    try {
      const admission = this.#gate?.admit(frame) ?? "serve";
      if (admission instanceof Promise) {
        return admission.then((admitted) => this.#keepOut(admitted), () => this.#keepOut("close"));
      }
      if (admission !== "serve") return this.#keepOut(admission);
      if (this.#refuseApiVersions(frame)) return "done";
      header = decodeRequestHeader(frame);
      const { api, apiVersion, reader } = header;
      if (api === undefined || !isServed(this.#cluster, this.#broker, api, apiVersion)) {
        this.#close();
        return "done";
      }
      body = api.decodeRequest(this.#cluster.strictRequests ? reader : new LenientReader(reader), apiVersion);
    } catch {
      this.#close();
      return "done";
    }
    const api = header.api!;
    const context = this.#record(header, body, frame);
    const action = this.#cluster.controls.decide(api, body, context);
    const call = this.#call(body, header, action?.view);
    const muteMs = this.#overQuota(api, header.clientId, frame);
    const exchange: Exchange = { api, context, request: body, muteMs, serve: () => handlerOf(api)(call) };
    if (action !== undefined) return this.#control(exchange, action);
    const outcome = exchange.serve();
    if (outcome instanceof Promise) return outcome.then((settled) => this.#finish(exchange, settled));
    return this.#finish(exchange, outcome);
  }

  #record(header: RequestHeader, body: unknown, frame: Uint8Array): RequestContext {
    const context: RequestContext = {
      brokerId: this.#broker.id,
      connectionId: this.#id,
      version: header.apiVersion,
      correlationId: header.correlationId,
      clientId: header.clientId,
      atMs: this.#cluster.clock.now(),
    };
    this.#cluster.recording.add({ ...context, api: header.api!, body: body as never, frame });
    return context;
  }

  /** Answers who has not authenticated yet, or does so again. */
  #keepOut(admission: Admission): Served | Promise<Served> {
    if (typeof admission === "string") this.#close();
    if (typeof admission === "string" || this.#isDead) return "done";
    if ("serve" in admission) return this.#authenticate(admission);
    if (!admission.isLast) {
      if (!this.#closed) this.#socket.write(admission.answer);
      return "done";
    }
    return this.#pauseBeforeRefusal().then(() => {
      if (!this.#closed) this.#socket.write(admission.answer);
      this.#close();
      return "done";
    });
  }

  /** Serves a step of an authentication. */
  async #authenticate({ header, request, serve }: SaslStep): Promise<Served> {
    const api = header.api!;
    const context = this.#record(header, request, NO_BYTES);
    const action = this.#cluster.controls.decide(api, request, context);
    let isLast = false;
    const exchange: Exchange = {
      ...{ api, context, request, muteMs: 0 },
      serve: async () => {
        let body: Outcome;
        try {
          ({ body, isLast } = await serve());
        } catch {
          return "close";
        }
        if (isLast) await this.#pauseBeforeRefusal();
        return body;
      },
    };
    const served = action === undefined
      ? await this.#finish(exchange, await exchange.serve())
      : await this.#control(exchange, action);
    if (isLast && served === "done") this.#close();
    return served;
  }

  #pauseBeforeRefusal(): Promise<void> {
    return this.#cluster.sleep(this.#cluster.sasl?.failureDelayMs ?? FAILURE_DELAY_MS);
  }

  #call(request: unknown, { apiVersion: version, clientId }: RequestHeader, view: ClusterView | undefined): Call {
    const broker = this.#broker;
    const isDead = () => this.#isDead;
    return {
      cluster: this.#cluster,
      broker,
      get view() {
        return view ?? broker.view;
      },
      get isAlive() {
        return !isDead();
      },
      listener: this.#listener,
      clientId,
      version,
      request: request as Call["request"],
      onClose: (callback) => {
        this.#onClose.add(callback);
        return () => void this.#onClose.delete(callback);
      },
    };
  }

  #finish(exchange: Exchange, outcome: Outcome, action: ControlAction = {}): Served | Promise<Served> {
    const { api, context, muteMs } = exchange;
    if (outcome === "silence") return "stuck";
    if (outcome === "close") this.#close();
    if (typeof outcome === "string") return this.#mute(muteMs);
    const served = muteMs > 0 ? { ...outcome as object, throttleTimeMs: muteMs } : outcome;
    const body = action.transform === undefined ? served : action.transform(served as never);
    if (this.#closed) return "done";
    const frame = encodeResponseFrame(
      api,
      context.version,
      action.correlationId ?? context.correlationId,
      body as never,
    );
    if (isDisturbed(action)) {
      return sendDisturbed(frame, action, this.#socket, (durationMs) => this.#cluster.sleep(durationMs)).then(
        (isOpen) => {
          if (!isOpen) this.#close();
          return this.#mute(muteMs);
        },
      );
    }
    this.#socket.write(frame);
    return this.#mute(muteMs);
  }

  async #control(exchange: Exchange, action: ControlAction): Promise<Served> {
    const { api, context, request } = exchange;
    if (action.delayMs !== undefined) await this.#cluster.sleep(action.delayMs);
    if (this.#isDead) return "done";
    if (action.close || action.drop === "before") {
      this.#close();
      return "done";
    }
    const replaces = action.respond !== undefined || action.error !== undefined || action.bytes !== undefined ||
      action.silence === true;
    let outcome: Outcome = "nothing";
    if (!replaces || action.apply) outcome = await exchange.serve();
    if (action.drop === "after") {
      this.#close();
      return "done";
    }
    if (action.answerDelayMs !== undefined) await this.#cluster.sleep(action.answerDelayMs);
    if (!replaces) return await this.#finish(exchange, outcome, action);
    if (action.silence) return "stuck";
    if (action.bytes !== undefined) {
      if (!this.#closed) this.#socket.write(new Uint8Array(action.bytes));
      return "done";
    }
    if (isUnanswered(api, request)) return await this.#finish(exchange, action.respond ? "nothing" : "close");
    const body = action.respond ?? errorBody(api, context.version, request, action.error!, outcome);
    return await this.#finish(exchange, body as Outcome, action);
  }

  /** For how long Kafka would leave the connection unread because of this request. */
  #overQuota(api: AnyApi, clientId: string | null, frame: Uint8Array): number {
    const { clock, quotas } = this.#cluster;
    if (api.key !== Produce.key || quotas.length === 0) return 0;
    return this.#broker.quotas.record(quotas, clientId, frame.length, clock.now());
  }

  /** Leaves the next requests unread for a time. */
  #mute(durationMs: number): Served {
    if (durationMs <= 0 || this.#closed) return "done";
    this.#muted = this.#cluster.clock.setTimer(() => this.#served("done"), durationMs);
    return "stuck";
  }

  /** Closes the connection when nothing has come for long enough; one timer, however much comes. */
  #watchIdleness(): void {
    const { clock, connectionsMaxIdleMs } = this.#cluster;
    if (connectionsMaxIdleMs === Infinity) return;
    const restMs = this.#lastActiveMs + connectionsMaxIdleMs - clock.now();
    if (restMs <= 0 && !this.#serving) return this.#close();
    this.#idle = clock.setTimer(() => this.#watchIdleness(), restMs > 0 ? restMs : connectionsMaxIdleMs);
    this.#idle.unref?.();
  }

  /**
   * Answers an ApiVersions request of a version that isn't there. Brokers before KIP-511 know nothing of its header
   * either and read it as an old one; later ones read the newer header, and close when it can't be read.
   */
  #refuseApiVersions(frame: Uint8Array): boolean {
    const release = RELEASES[this.#cluster.release];
    const start = new Reader(frame);
    const [apiKey, version, correlationId] = [start.int16(), start.int16(), start.int32()];
    if (apiKey !== ApiVersions.key) return false;
    if (version >= release.resetsApiVersionsFrom) {
      this.reset();
      return true;
    }
    const [minVersion, maxVersion] = advertisedRange(this.#cluster, this.#broker, ApiVersions) ?? [0, 0];
    if (version >= 0 && version <= maxVersion) return false;
    if (release.namesApiVersions) decodeRequestHeader(frame);
    const apiKeys = release.namesApiVersions ? [{ apiKey, minVersion, maxVersion }] : [];
    const refusal = { errorCode: UNSUPPORTED_VERSION, apiKeys };
    this.#socket.write(encodeResponseFrame(ApiVersions, 0, correlationId, refusal));
    return true;
  }
}

/** A request and what is known of its answer. */
interface Exchange {
  readonly api: AnyApi;
  readonly context: RequestContext;
  readonly request: unknown;
  readonly muteMs: number;
  /** Does what was asked. */
  readonly serve: () => Outcome | Promise<Outcome>;
}

/** Whether the next request may be served. */
type Served = "done" | "stuck";

/** Ignores what is left behind the last field, as Kafka does. */
class LenientReader extends Reader {
  constructor({ bytes, end, offset }: Reader) {
    super(bytes, offset, end);
  }

  override expectEnd(): void {}
}

/** Produce with acks 0 is never answered. */
function isUnanswered(api: AnyApi, request: unknown): boolean {
  return api.key === Produce.key && (request as RequestOf<typeof Produce>).acks === 0;
}
