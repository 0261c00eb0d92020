/**
 * The request that a WebSocket begins with (RFC 6455), out of the bytes of a connection.
 *
 * @module
 */

/** What a client asks for. */
export interface UpgradeRequest {
  /** The broker, as it stands in the address; empty if there is none. */
  readonly broker: string;
  /** Where the page comes from; undefined if it is no browser that asks. */
  readonly origin: string | undefined;
  /** The subprotocols that are offered. */
  readonly protocols: readonly string[];
  /** What the answer must show to have understood. */
  readonly key: string;
}

/** A request that is none. */
export interface Refusal {
  /** The status of HTTP. */
  readonly status: number;
  /** Its name, and what to do. */
  readonly text: string;
}

/** A longer head is no client's of ours. */
export const MAX_HEAD_BYTES = 16_384;

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BASE64_OF_16_BYTES = /^[A-Za-z0-9+/]{22}==$/;

/** Where the head ends, behind its empty line; −1 while it isn't all there. */
export function endOfHead(bytes: Uint8Array): number {
  for (let i = 3; i < bytes.length; i++) {
    if (
      bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 &&
      bytes[i - 3] === 13
    ) return i + 1;
  }
  return -1;
}

/** Reads the head of a request. */
export function readUpgrade(head: Uint8Array): UpgradeRequest | Refusal {
  const [first = "", ...lines] = new TextDecoder("latin1").decode(head).split(
    "\r\n",
  );
  const match = /^([A-Z]+) (\/\S*) HTTP\/1\.1$/.exec(first);
  if (match === null) {
    return { status: 400, text: "Bad Request: this is no HTTP/1.1" };
  }
  if (match[1] !== "GET") {
    return { status: 405, text: "Method Not Allowed: open a WebSocket" };
  }
  const headers = new Map<string, string>();
  for (const line of lines) {
    const at = line.indexOf(":");
    if (line === "") continue;
    if (at <= 0) {
      return { status: 400, text: "Bad Request: a header can't be read" };
    }
    const name = line.slice(0, at).toLowerCase();
    const before = headers.get(name);
    const value = line.slice(at + 1).trim();
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const isUpgrade = headers.get("upgrade")?.toLowerCase() === "websocket" &&
    listOf(headers.get("connection")).some((word) => word.toLowerCase() === "upgrade");
  const key = headers.get("sec-websocket-key") ?? "";
  if (
    !isUpgrade || headers.get("sec-websocket-version") !== "13" ||
    !BASE64_OF_16_BYTES.test(key)
  ) {
    return {
      status: 426,
      text: "Upgrade Required: this is a proxy for webSocketConnect() of @sluice/kafka",
    };
  }
  return {
    broker: brokerOf(match[2]!),
    origin: headers.get("origin"),
    protocols: listOf(headers.get("sec-websocket-protocol")),
    key,
  };
}

/** The head of the answer; it takes the subprotocol, if it was offered. */
export async function upgradeAnswer(
  key: string,
  protocol: string | undefined,
): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-1",
    new TextEncoder().encode(key + GUID),
  );
  const accept = btoa(String.fromCharCode(...new Uint8Array(digest)));
  const taken = protocol === undefined ? "" : `Sec-WebSocket-Protocol: ${protocol}\r\n`;
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n${taken}\r\n`;
}

/** An answer that is the end. */
export function refusalAnswer({ status, text }: Refusal): string {
  const body = `${text}\n`;
  const upgrade = status === 426 ? "Upgrade: websocket\r\n" : "";
  return `HTTP/1.1 ${status} ${text.split(":")[0]}\r\n${upgrade}Content-Type: text/plain\r\n` +
    `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

function listOf(value: string | undefined): string[] {
  return (value ?? "").split(",").map((word) => word.trim()).filter((word) => word !== "");
}

function brokerOf(target: string): string {
  try {
    return new URL(target, "http://proxy").searchParams.get("broker") ?? "";
  } catch {
    return "";
  }
}
