/**
 * What a broker does with requests before a client has shown who it is: SASL PLAIN, as much as tests of it need.
 *
 * @module
 */

import { type AnyApi, encodeResponseFrame, type RequestOf } from "../protocol/api.ts";
import { ApiVersions, SaslAuthenticate, SaslHandshake } from "../protocol/messages/mod.ts";
import { decodeRequestHeader } from "../protocol/request_header.ts";
import { hasGoodName } from "./api_versions_handler.ts";
import { errorBody } from "./error_body.ts";

/** Who may come in. */
export interface SaslOptions {
  /** Passwords by user name. */
  readonly plain: Readonly<Record<string, string>>;
}

/** What becomes of a frame: it is served as any other, it is the end, or it is answered here, perhaps for the last time. */
export type Admission = "serve" | "close" | { readonly answer: readonly Uint8Array[]; readonly isLast: boolean };

const UNSUPPORTED_SASL_MECHANISM = 33;
const ILLEGAL_SASL_STATE = 34;
const SASL_AUTHENTICATION_FAILED = 58;
const MECHANISM = "PLAIN";
/** `sasl.server.max.receive.size`. */
const MAX_BYTES = 524_288;
const FIRST_HANDSHAKE_WITH_FRAMED_TOKENS = 1;
/** A token that isn't framed is answered by one that is empty. */
const EMPTY_TOKEN = Uint8Array.of(0, 0, 0, 0);

/** Stands in front of one connection until somebody has authenticated. */
export class SaslGate {
  readonly #users: Readonly<Record<string, string>>;
  readonly #serves: (api: AnyApi, version: number) => boolean;
  #state: "versions or handshake" | "handshake" | "token" | "raw token" | "refused" | "open" = "versions or handshake";

  /** Knows who may come in, and which versions are served. */
  constructor({ plain }: SaslOptions, serves: (api: AnyApi, version: number) => boolean) {
    this.#users = plain;
    this.#serves = serves;
  }

  /** Decides about a frame. Throws when it can't be read. */
  admit(frame: Uint8Array): Admission {
    if (this.#state === "open") return "serve";
    if (this.#state === "refused" || frame.length > MAX_BYTES) return "close";
    if (this.#state === "raw token") {
      if (!this.#isGood(frame)) return "close";
      this.#state = "open";
      return { answer: [EMPTY_TOKEN.slice()], isLast: false };
    }
    const { api, apiVersion, correlationId, reader } = decodeRequestHeader(frame);
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
    const answered = (body: unknown, isLast = false): Admission => {
      return { answer: encodeResponseFrame(api, apiVersion, correlationId, body as never), isLast };
    };
    if (this.#state !== "token") {
      if (api.key !== SaslHandshake.key) return "close";
      const isKnown = (request as RequestOf<typeof SaslHandshake>).mechanism === MECHANISM;
      const isFramed = apiVersion >= FIRST_HANDSHAKE_WITH_FRAMED_TOKENS;
      this.#state = !isKnown ? "refused" : isFramed ? "token" : "raw token";
      return answered({ errorCode: isKnown ? 0 : UNSUPPORTED_SASL_MECHANISM, mechanisms: [MECHANISM] });
    }
    if (api.key !== SaslAuthenticate.key) {
      return answered(errorBody(api, apiVersion, request, ILLEGAL_SASL_STATE, "nothing"), true);
    }
    const isGood = this.#isGood((request as RequestOf<typeof SaslAuthenticate>).authBytes);
    this.#state = isGood ? "open" : "refused";
    return answered({
      errorCode: isGood ? 0 : SASL_AUTHENTICATION_FAILED,
      errorMessage: isGood ? "" : "Authentication failed: Invalid username or password",
      authBytes: new Uint8Array(0),
    }, !isGood);
  }

  #isGood(token: Uint8Array): boolean {
    const [authorizationId = "", user = "", password] = new TextDecoder().decode(token).split("\0");
    const isOwn = authorizationId === "" || authorizationId === user;
    return isOwn && Object.hasOwn(this.#users, user) && this.#users[user] === password;
  }
}
