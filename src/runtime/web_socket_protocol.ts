/**
 * What `webSocketConnect` and `sluice proxy` say to each other, besides the bytes.
 *
 * The address names the broker (`?broker=host:port`), a subprotocol carries the token, because a browser can send no other
 * header. Once the broker is connected the proxy sends one message of text, {@link READY}; all others are bytes.
 *
 * @module
 */

/** The subprotocol that the proxy takes. */
export const SUBPROTOCOL = "sluice";

/** The broker is connected. */
export const READY = "connected";

/** Why the proxy ends a connection: codes of the range that is free for applications. */
export const CLOSE_CODES = {
  /** There is no broker in the address, or none that can be read. */
  request: 4400,
  /** The token is wrong, or missing. */
  token: 4401,
  /** The page comes from elsewhere. */
  origin: 4402,
  /** It doesn't lead to that broker. */
  broker: 4403,
  /** Nothing has gone either way for too long. */
  idle: 4408,
  /** More bytes than a connection may carry. */
  bytes: 4413,
  /** More connections than there may be. */
  connections: 4429,
  /** The connection to the broker has failed. */
  lost: 4500,
  /** The broker can't be reached. */
  unreachable: 4502,
} as const;

const TOKEN = "token.";

/** The subprotocol that carries a token: its characters are few, so the token is written in base64url. */
export function tokenProtocol(token: string): string {
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(
    Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""),
  );
  return TOKEN +
    base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
