/**
 * TLS options: what a runtime can't do is refused, never dropped.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { reasonOf, show } from "../show.ts";
import type { ConnectOptions, SocketCapabilities, SocketFactory, TlsOptions } from "./runtime.ts";

/** The error for certificates or keys that TLS can't make anything of. */
export function unusableTls(cause: unknown): ConfigError {
  const reason = reasonOf(cause);
  return new ConfigError("tls", `Correct "tls": its certificates, key or passphrase can't be used: ${reason}.`, {
    cause,
  });
}

/** The options of a connection that is to speak TLS, with defaults; undefined when it is to be plain. */
export function tlsOptions(options: ConnectOptions): TlsOptions | undefined {
  if (options.tls === undefined || options.tls === false) return undefined;
  return options.tls === true ? {} : options.tls;
}

/**
 * Throws a `ConfigError` that names the first TLS option which the sockets can't honour, or which makes no sense
 * without another. While it isn't known which sockets, only the latter.
 */
export function checkTls(factory: SocketFactory | undefined, tls: TlsOptions | boolean | undefined): void {
  if (typeof tls !== "object") return;
  const lacks = (capability: keyof SocketCapabilities): boolean => factory?.can[capability] === false;
  const refuse = (option: string, what: string): never => {
    throw new ConfigError(option, `Remove the option "${option}": sockets of ${show(factory?.name)} ${what}.`);
  };
  if (tls.ca !== undefined && lacks("ca")) refuse("tls.ca", "trust only the runtime's own certificate authorities");
  for (const option of ["cert", "key", "passphrase"] as const) {
    if (tls[option] !== undefined && lacks("clientCert")) refuse(`tls.${option}`, "send no client certificate");
  }
  if (tls.serverName !== undefined && lacks("serverName")) {
    refuse("tls.serverName", "always check the name of the host that is dialled");
  }
  if (tls.verify === "ca" && lacks("skipHostname")) refuse("tls.verify", 'always check the host name, wanted "full"');
  if (tls.verify === "none" && lacks("insecure")) refuse("tls.verify", 'always check the certificate, wanted "full"');

  const pairs = [["cert", "key"], ["key", "cert"], ["passphrase", "key"]] as const;
  for (const [option, other] of pairs) {
    if (tls[option] !== undefined && tls[other] === undefined) {
      throw new ConfigError(
        `tls.${option}`,
        `Set "tls.${other}" too: "tls.${option}" is of no use without it.`,
      );
    }
  }
}
