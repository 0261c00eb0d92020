/**
 * Which errors of Node, Bun and Deno mean that TLS was refused. workerd tells no reasons.
 *
 * @module
 */

const CODES =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|ERR_BORINGSSL|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_)/;

/** Causes by what Node, Bun (BoringSSL) and Deno (rustls) say, each with what it means and what to do. */
const SENTENCES: readonly (readonly [said: RegExp, meaning: string])[] = [
  [/CERT_HAS_EXPIRED|certificate (has )?expired/i, "its certificate has expired. Renew it"],
  [/CERT_NOT_YET_VALID|not valid yet/i, "its certificate isn't valid yet. Compare the clocks"],
  [
    /ALTNAME_INVALID|HOSTNAME_MISMATCH|not valid for name/i,
    `its certificate is for other names. Dial it by one of them, or set "tls.serverName" to one`,
  ],
  [
    /UNABLE_TO_(VERIFY|GET)|SELF_SIGNED|UnknownIssuer|CaUsedAsEndEntity/i,
    `its certificate is not trusted. Give the CA that has signed it as "tls.ca"`,
  ],
  [
    /alert (bad |unknown |unsupported |revoked |expired )?(certificate|ca\b)|ALERT_\w*CERT|ALERT_UNKNOWN_CA|alert: \w*(Certificate|CA\b)/i,
    `it refuses our certificate, or wants one. Give "tls.cert" and "tls.key" that it trusts`,
  ],
  [
    /WRONG_VERSION_NUMBER|packet length too long|InvalidContentType|corrupt message|RECORD_TOO_LARGE/i,
    `what it answers is no TLS, as from a plain port. Remove "tls", or name its TLS port`,
  ],
  [/PROTOCOL_VERSION|HANDSHAKE_FAILURE|HandshakeFailure|PeerIncompatible/i, "there is no version or cipher in common"],
];

/** What a refusal means and what to do, in words that are the same on each runtime; undefined for a rare one. */
export function tlsMeaning(cause: unknown): string | undefined {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown };
  const said = `${code} ${message}`;
  return SENTENCES.find(([pattern]) => pattern.test(said))?.[1];
}

/**
 * Whether TLS refused the peer, or the peer us, or spoke no TLS at all. That stays so, while a reset or an end within
 * the handshake may not come again. Node and Bun say it in the code, Deno in the text.
 */
export function isTlsRefusal(cause: unknown): boolean {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown };
  return CODES.test(String(code)) || /invalid peer certificate|received fatal alert/.test(String(message));
}
