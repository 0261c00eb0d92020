/**
 * What a broker does with requests before a client has shown who it is, and when it wants to see that again (KIP-368).
 *
 * @module
 */

import { type AnyApi, encodeResponseFrame, type RequestOf } from "../../protocol/api.ts";
import { ApiVersions, SaslAuthenticate, SaslHandshake } from "../../protocol/messages/mod.ts";
import { decodeRequestHeader, type RequestHeader } from "../../protocol/request_header.ts";
import {
  ILLEGAL_SASL_STATE,
  SASL_AUTHENTICATION_FAILED,
  UNSUPPORTED_SASL_MECHANISM,
} from "../../protocol/error_code_names.ts";
import { hasGoodName } from "./api_versions_handler.ts";
import type { Outcome } from "./call.ts";
import { errorBody } from "./error_body.ts";
import { mechanismsOf, SaslExchange, type SaslOptions, type Step } from "./sasl_exchange.ts";

/** What a step of an authentication is answered with. */
export interface SaslReply {
  readonly body: Outcome;
  /** The client is refused: the connection is to be closed behind the answer, which comes after `failureDelayMs`. */
  readonly isLast: boolean;
}

/** A step of an authentication: it can be controlled like any other request, and is served by the gate. */
export interface SaslStep {
  readonly header: RequestHeader;
  readonly request: unknown;
  /** Takes the step. */
  serve(): Promise<SaslReply>;
}

/** What becomes of a frame: it is served as any other, it is the end, it is a step, or these bytes answer it. */
export type Admission = "serve" | "close" | SaslStep | {
  readonly answer: readonly Uint8Array[];
  /** As in {@link SaslReply}. */
  readonly isLast: boolean;
};

/** `sasl.server.max.receive.size`. */
const MAX_BYTES = 524_288;
const FIRST_HANDSHAKE_WITH_FRAMED_TOKENS = 1;
/** A token that isn't framed is answered by one that is empty. */
const EMPTY_TOKEN = Uint8Array.of(0, 0, 0, 0);

/** Stands in front of one connection: until its client has authenticated, and whenever it does so again. */
export class SaslGate {
  readonly #options: SaslOptions;
  readonly #serves: (api: AnyApi, version: number) => boolean;
  readonly #wallNow: () => number;
  #state: "versions or handshake" | "handshake" | "token" | "raw token" | "refused" | "open" = "versions or handshake";
  #exchange: SaslExchange | undefined;
  /** Who has authenticated, and until when that counts. */
  #user: string | undefined;
  #endsAtMs = Infinity;

  /** Knows who may come in, and which versions are served. */
  constructor(
    options: SaslOptions,
    serves: (api: AnyApi, version: number) => boolean,
    wallNow: () => number,
  ) {
    this.#options = options;
    this.#serves = serves;
    this.#wallNow = wallNow;
  }

  /** Decides about a frame. Throws, or rejects, when it can't be read. */
  admit(frame: Uint8Array): Admission | Promise<Admission> {
    if (this.#state === "open" && !this.#isRenewal(frame)) {
      return this.#wallNow() < this.#endsAtMs ? "serve" : "close";
    }
    if (this.#state === "refused" || frame.length > MAX_BYTES) return "close";
    if (this.#state === "raw token") return this.#takeRaw(frame);
    const header = decodeRequestHeader(frame);
    const { api, apiVersion, correlationId, reader } = header;
    if (api === undefined) return "close";
    if (api.key === ApiVersions.key && this.#state !== "token") {
      if (this.#state === "handshake") return "close";
      // It is answered once; whoever has been refused may ask again.
      if (!this.#serves(api, apiVersion)) return "serve";
      if (hasGoodName(ApiVersions.decodeRequest(reader, apiVersion), apiVersion)) this.#state = "handshake";
      return "serve";
    }
    if (!this.#serves(api, apiVersion)) return "close";
    const request = api.decodeRequest(reader, apiVersion);
    if (this.#state !== "token") {
      if (api.key !== SaslHandshake.key) return "close";
      const { mechanism } = request as RequestOf<typeof SaslHandshake>;
      return { header, request, serve: () => Promise.resolve(this.#choose(mechanism, apiVersion)) };
    }
    if (api.key !== SaslAuthenticate.key) {
      const body = errorBody(api, apiVersion, request, ILLEGAL_SASL_STATE, "nothing");
      return { answer: encodeResponseFrame(api, apiVersion, correlationId, body as never), isLast: true };
    }
    const { authBytes } = request as RequestOf<typeof SaslAuthenticate>;
    return { header, request, serve: () => this.#take(authBytes) };
  }

  /** A session may be renewed at any time; once it is over nothing else is served. */
  #isRenewal(frame: Uint8Array): boolean {
    return decodeRequestHeader(frame).api?.key === SaslHandshake.key && this.#options.maxReauthMs !== undefined;
  }

  #choose(mechanism: string, version: number): SaslReply {
    const mechanisms = mechanismsOf(this.#options);
    const isKnown = mechanisms.includes(mechanism);
    const isFramed = version >= FIRST_HANDSHAKE_WITH_FRAMED_TOKENS;
    this.#state = !isKnown ? "refused" : isFramed ? "token" : "raw token";
    this.#exchange = isKnown ? new SaslExchange(mechanism, this.#options, this.#wallNow) : undefined;
    return { body: { errorCode: isKnown ? 0 : UNSUPPORTED_SASL_MECHANISM, mechanisms }, isLast: false };
  }

  async #take(token: Uint8Array): Promise<SaslReply> {
    const step = await this.#exchange!.take(token);
    const errorMessage = this.#conclude(step);
    const { maxReauthMs = 0 } = this.#options;
    const body = {
      errorCode: errorMessage === undefined ? 0 : SASL_AUTHENTICATION_FAILED,
      errorMessage: errorMessage ?? "",
      authBytes: errorMessage === undefined ? step.answer ?? new Uint8Array(0) : new Uint8Array(0),
      sessionLifetimeMs: this.#state === "open" ? BigInt(maxReauthMs) : 0n,
    };
    return { body, isLast: errorMessage !== undefined };
  }

  #takeRaw(frame: Uint8Array): Promise<Admission> {
    return this.#exchange!.take(frame).then((step) => {
      if (this.#conclude(step) !== undefined) return "close";
      const bytes = step.answer ?? new Uint8Array(0);
      const framed = new Uint8Array(EMPTY_TOKEN.length + bytes.length);
      new DataView(framed.buffer).setInt32(0, bytes.length);
      framed.set(bytes, EMPTY_TOKEN.length);
      return { answer: [framed], isLast: false };
    });
  }

  /** Takes note of a step; returns why the client is refused, if it is. */
  #conclude({ user, refusal }: Step): string | undefined {
    const isOther = user !== undefined && this.#user !== undefined && user !== this.#user;
    const reason = isOther ? "Cannot change principals during re-authentication" : refusal;
    if (reason !== undefined) this.#state = "refused";
    if (reason !== undefined || user === undefined) return reason;
    const { maxReauthMs = 0 } = this.#options;
    this.#state = "open";
    this.#user = user;
    this.#endsAtMs = maxReauthMs > 0 ? this.#wallNow() + maxReauthMs : Infinity;
    return undefined;
  }
}
