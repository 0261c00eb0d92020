/**
 * From nothing to a connection that can be used: socket, then ApiVersions, within one deadline.
 *
 * @module
 */

import { ConnectionError, KafkaError, ProtocolError, TimeoutError } from "../errors.ts";
import { nextApiVersionsVersion } from "../protocol/api.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { ApiVersions } from "../protocol/messages/api_versions.ts";
import type { AnyApi, ResponseOf } from "../protocol/schema.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Address, formatAddress } from "./address.ts";
import { Connection, type ConnectionOptions, type VersionRange } from "./connection.ts";
import type { DialPace } from "./pace.ts";
import { SOFTWARE_NAME, SOFTWARE_VERSION } from "./software.ts";

const UNSUPPORTED_VERSION = 35;
const INVALID_REQUEST = 42;

/** Requests that are written together with the first one of a connection, in versions that are guessed. */
export interface Flight {
  /** In which version each request is going to be written. */
  readonly guesses: readonly (readonly [api: AnyApi, version: number])[];
  /** Writes the requests; the answers are the business of whoever gave the flight. */
  write(connection: Connection): void;
  /** Nothing comes of it: the attempt to connect failed, perhaps because the server was `takenAback` by the requests. */
  lost(takenAback: boolean): void;
}

/** How a connection is opened. */
export interface OpenOptions {
  /** The broker is known to answer modern ApiVersions requests: when it hangs up, it is going down. */
  readonly modern?: boolean | undefined;
  /** What else to ask in the same breath. */
  readonly flight?: Flight | undefined;
  /** Keeps a second attempt within the pace of the client. */
  readonly pace?: DialPace | undefined;
}

/**
 * Opens a connection and learns what the broker speaks.
 *
 * `connectTimeoutMs` covers TCP, TLS and handshake together. A server that hangs up on a modern ApiVersions request
 * is asked once more, on a new connection, in the oldest version (some proxies know no other), unless it is known to
 * be `modern`. One that doesn't speak the versions of a flight hangs up too, and is asked again without the flight.
 */
export async function openConnection(
  runtime: Runtime,
  address: Address,
  options: ConnectionOptions,
  signal: AbortSignal,
  { modern = false, flight, pace }: OpenOptions = {},
): Promise<Connection> {
  const deadlineMs = runtime.now() + options.connectTimeoutMs;
  const attempt = (version: number, ahead?: Flight): Promise<Connection> =>
    withinDeadline(runtime, new Connection(runtime, address, options), deadlineMs, version, signal, ahead);
  const newest = ApiVersions.clientVersions[1];
  try {
    return await attempt(newest, flight);
  } catch (error) {
    const misguessed = error instanceof MisguessError;
    const mayTryAgain = misguessed || (error instanceof HungUpError && (!modern || flight !== undefined));
    flight?.lost(mayTryAgain);
    if (!mayTryAgain) throw error;
    await pace?.turn(formatAddress(address), signal);
    return await attempt(misguessed || modern ? newest : 0);
  }
}

/** The server closed the connection instead of answering the very first request. */
class HungUpError extends ConnectionError {}

/** The server can't cope with what was sent before it had told its versions. */
class MisguessError extends ConnectionError {}

async function withinDeadline(
  runtime: Runtime,
  connection: Connection,
  deadlineMs: number,
  version: number,
  signal: AbortSignal,
  flight: Flight | undefined,
): Promise<Connection> {
  const name = formatAddress(connection.address);
  const attempt = new AbortController();
  const leftMs = Math.max(1, deadlineMs - runtime.now());
  const giveUp = (reason: KafkaError): void => {
    connection.destroy(reason);
    attempt.abort(reason);
  };
  const timer = runtime.setTimer(() => {
    const message = `Connecting to ${name} took longer than connectTimeoutMs.`;
    giveUp(new TimeoutError(message, { code: "CONNECT_TIMED_OUT", broker: name }));
  }, leftMs);
  const abandon = (): void => giveUp(new ConnectionError(`Connecting to ${name} was given up.`, { broker: name }));
  const ignore = onAbort(signal, abandon);
  try {
    if (signal.aborted) abandon();
    await connection.dial(leftMs, attempt.signal);
    const shaken = shakeHands(connection, leftMs, version);
    flight?.write(connection);
    await shaken;
    if (flight !== undefined) refuseMisguess(connection, flight);
    if (connection.error !== undefined) throw connection.error;
    connection.modern = version > 0;
    connection.watchIdle();
    return connection;
  } catch (error) {
    const reason = connection.error ?? (error instanceof KafkaError ? error : undefined) ??
      new ConnectionError(`Connecting to ${name} failed.`, { broker: name, cause: error });
    connection.destroy(reason);
    throw error instanceof HungUpError || error instanceof MisguessError ? error : reason;
  } finally {
    timer.cancel();
    ignore();
  }
}

/** Such a server has hung up on us, or is about to. */
function refuseMisguess(connection: Connection, { guesses }: Flight): void {
  const name = formatAddress(connection.address);
  if (connection.error !== undefined) throw new MisguessError(connection.error.message, { cause: connection.error });
  for (const [api, version] of guesses) {
    const range = connection.versions.get(api.key);
    if (range !== undefined && version >= range.min && version <= range.max) continue;
    throw new MisguessError(`The broker at ${name} doesn't speak ${api.name} ${version}.`);
  }
}

async function shakeHands(connection: Connection, timeoutMs: number, firstVersion: number): Promise<void> {
  let version = firstVersion;
  while (true) {
    const response = await ask(connection, version, timeoutMs, firstVersion > 0 && version === firstVersion);
    if (response.errorCode === 0) {
      connection.versions = offered(response);
      return;
    }
    const next = response.errorCode === UNSUPPORTED_VERSION
      ? nextApiVersionsVersion(version, response)
      // The broker dislikes the software's name; version 0 has no such field and the connection is still good.
      : response.errorCode === INVALID_REQUEST && version > 0
      ? 0
      : undefined;
    if (next === undefined) {
      throw brokerError(response.errorCode, { api: "ApiVersions", broker: formatAddress(connection.address) });
    }
    version = next;
  }
}

async function ask(
  connection: Connection,
  version: number,
  timeoutMs: number,
  mayHangUp: boolean,
): Promise<ResponseOf<typeof ApiVersions>> {
  const body = version < 3 ? {} : {
    clientSoftwareName: SOFTWARE_NAME,
    clientSoftwareVersion: SOFTWARE_VERSION,
  };
  try {
    return await connection.request(ApiVersions, version, body, timeoutMs);
  } catch (error) {
    const ended = connection.error;
    if (mayHangUp && ended instanceof ConnectionError && !(ended instanceof ProtocolError)) {
      throw new HungUpError(ended.message, { broker: formatAddress(connection.address), cause: ended });
    }
    throw error;
  }
}

function offered(response: ResponseOf<typeof ApiVersions>): Map<number, VersionRange> {
  const versions = new Map<number, VersionRange>();
  for (const { apiKey, minVersion, maxVersion } of response.apiKeys) {
    versions.set(apiKey, { min: minVersion, max: maxVersion });
  }
  return versions;
}
