/**
 * Which errors of Node, Bun and Deno mean that TLS was refused. workerd tells no reasons.
 *
 * @module
 */

const CODES =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|ERR_BORINGSSL|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_)/;

/**
 * Whether TLS refused the peer, or the peer us, or spoke no TLS at all. That stays so, while a reset or an end within
 * the handshake may not come again. Node and Bun say it in the code, Deno in the text.
 */
export function isTlsRefusal(cause: unknown): boolean {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown };
  return CODES.test(String(code)) || /invalid peer certificate|received fatal alert/.test(String(message));
}
