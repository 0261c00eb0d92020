/**
 * From nothing to a connection that can be used: socket, ApiVersions and SASL, within one deadline. Looking why that
 * failed takes up to a second more for each probe.
 *
 * @module
 */

import {
  AuthenticationError,
  BrokerError,
  ConnectionError,
  KafkaError,
  ProtocolError,
  TimeoutError,
} from "../errors.ts";
import { nextApiVersionsVersion } from "../protocol/api.ts";
import { REBOOTSTRAP_REQUIRED, UNSUPPORTED_VERSION } from "../protocol/error_code_names.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { ApiVersions } from "../protocol/messages/api_versions.ts";
import type { AnyApi, ResponseOf } from "../protocol/schema.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { setDeadline } from "../runtime/truce.ts";
import { type Address, formatAddress } from "./address.ts";
import { Connection, type ConnectionOptions, type VersionRange } from "./connection.ts";
import { authenticate } from "./authentication.ts";
import { API_VERSIONS_WITH_ADDRESSEE, Negotiation } from "./negotiation.ts";
import type { DialPace } from "./pace.ts";
import { plainPortError, tlsPortError } from "./port_probe.ts";
import { show } from "../show.ts";
import { SOFTWARE_NAME, SOFTWARE_VERSION } from "./software.ts";

/** The first ApiVersions version in which a client says what it is (KIP-511). */
const API_VERSIONS_WITH_SOFTWARE = 3;

/** To whom a client believes to talk: a node of a cluster. A broker that is somebody else says so (KIP-1242). */
export interface Addressee {
  readonly clusterId: string;
  readonly nodeId: number;
}

/** Requests that are written together with the first one of a connection, in versions that are guessed. */
export interface Pipelined {
  /** In which version each request is going to be written. */
  readonly guesses: readonly (readonly [api: AnyApi, version: number])[];
  /** Writes the requests; the answers are the business of the caller. */
  write(connection: Connection): void;
  /** The connection failed before the pipelined requests were answered. */
  lost(): void;
  /** The guess was wrong: without these requests the server has answered. */
  refuted(): void;
}

/** How a connection is opened. */
export interface OpenOptions {
  /** What is known of the server; what happens is noted there. */
  readonly negotiation?: Negotiation | undefined;
  /** Who should be there; undefined for a bootstrap server, which may be anybody. */
  readonly addressee?: Addressee | undefined;
  /** What else to ask in the same breath. */
  readonly pipelined?: Pipelined | undefined;
  /** Keeps further attempts within the pace of the client. */
  readonly pace?: DialPace | undefined;
}

/**
 * Opens a connection and learns what the broker speaks.
 *
 * `connectTimeoutMs` covers TCP, TLS and handshake together. Brokers hang up on what they don't know, and only some
 * say why: when the connection ends in the middle of the handshake, another one is opened and less is asked, first
 * without the pipelined requests, then in the version that the server has named, then in older ones. What was answered is noted in
 * the negotiation, so that the next connection to the address begins with it.
 */
export async function openConnection(
  runtime: Runtime,
  address: Address,
  options: ConnectionOptions,
  signal: AbortSignal,
  { negotiation = new Negotiation(), addressee, pipelined, pace }: OpenOptions = {},
): Promise<Connection> {
  const deadlineMs = runtime.now() + options.connectTimeoutMs;
  let versions = negotiation.attempts(runtime.now());
  let current = pipelined;
  let guessesSasl = options.sasl !== undefined && !negotiation.refusesPipelining;
  while (true) {
    const [version = 0] = versions;
    const connection = new Connection(runtime, address, options);
    try {
      const answered = await withinDeadline(
        runtime,
        connection,
        { deadlineMs, version, addressee, signal },
        options,
        current,
        guessesSasl,
      );
      negotiation.answered(answered, connection.versions);
      if (current !== pipelined) pipelined?.refuted();
      return connection;
    } catch (failure) {
      current?.lost();
      // A server that has spoken TLS before is restarting.
      const mayBePlain = options.tls && !negotiation.hasAnswered && connection.bytesSent === 0;
      const wrongPort = mayBePlain
        ? await plainPortError(runtime, address, options, failure as KafkaError, signal)
        : undefined;
      const error = wrongPort ?? failure;
      const isAtALoss = error instanceof TimeoutError || (error as KafkaError).errorCode === UNSUPPORTED_VERSION;
      if (isAtALoss && connection.bytesSent > 0) negotiation.failed(runtime.now());
      if (error instanceof AuthenticationError) throw error;
      if (!(error instanceof HungUpError) || signal.aborted) throw connection.error ?? error;
      if (current !== undefined || guessesSasl) {
        negotiation.pipeliningRefused();
      } else {
        negotiation.hungUp(runtime.now());
        versions = versions.slice(1);
      }
      current = undefined;
      guessesSasl = false;
      const { named } = error;
      if (named !== undefined) versions = [named, ...versions.filter((other) => other < named)];
      if (versions.length === 0) {
        const mayBeTls = !options.tls && !negotiation.hasAnswered;
        const reason = connection.error ?? error;
        throw mayBeTls && await tlsPortError(runtime, address, reason, signal) || reason;
      }
      await pace?.turn(formatAddress(address), signal);
    }
  }
}

/** The server has ended the connection before the handshake was done, or its answer can't be read. */
class HungUpError extends ConnectionError {
  /** The ApiVersions version that it has asked for before, if it has. */
  readonly named: number | undefined;

  constructor(reason: KafkaError, named?: number) {
    super(reason.message, { broker: reason.broker, cause: reason });
    this.named = named;
  }
}

/** Returns the ApiVersions version that was answered. */
async function withinDeadline(
  runtime: Runtime,
  connection: Connection,
  { deadlineMs, version, addressee, signal }: {
    readonly deadlineMs: number;
    readonly version: number;
    readonly addressee: Addressee | undefined;
    readonly signal: AbortSignal;
  },
  { sasl: mechanism }: ConnectionOptions,
  pipelined: Pipelined | undefined,
  guessesSasl: boolean,
): Promise<number> {
  const name = formatAddress(connection.address);
  const attempt = new AbortController();
  const leftMs = Math.max(1, deadlineMs - runtime.now());
  const giveUp = (reason: KafkaError): void => {
    connection.destroy(reason);
    attempt.abort(reason);
  };
  const timer = setDeadline(runtime, () => {
    const message = `Connecting to "${name}" took longer than connectTimeoutMs.`;
    giveUp(new TimeoutError(message, { code: "CONNECT_TIMED_OUT", broker: name }));
  }, leftMs);
  const abandon = (): void => giveUp(new ConnectionError(`Connecting to "${name}" was given up.`, { broker: name }));
  const ignore = onAbort(signal, abandon);
  try {
    if (signal.aborted) abandon();
    await connection.dial(leftMs, attempt.signal);
    const shaken = shakeHands(connection, leftMs, version, addressee);
    const prove = (versions: Connection["versions"] | undefined): Promise<number> =>
      authenticate(runtime, connection.address, (...request) => connection.request(...request), {
        mechanism: mechanism!,
        signal: attempt.signal,
        timeoutMs: leftMs,
        versions,
        follow: () => pipelined?.write(connection),
      });
    if (mechanism === undefined) pipelined?.write(connection);
    let proven = guessesSasl ? prove(undefined) : undefined;
    proven?.catch(() => {});
    const answered = await shaken;
    if (mechanism !== undefined) connection.keepSession(await (proven ??= prove(connection.versions)));
    if (pipelined !== undefined) refuseMisguess(connection, pipelined);
    if (connection.error !== undefined) throw connection.error;
    connection.watchIdle();
    return answered;
  } catch (error) {
    // A broker that refuses somebody hangs up as well; what it has said before counts.
    const refusal = error instanceof AuthenticationError ? error : undefined;
    const reason = refusal ?? connection.error ?? (error instanceof KafkaError ? error : undefined) ??
      new ConnectionError(`Connecting to "${name}" failed.`, { broker: name, cause: error });
    connection.destroy(reason);
    throw error instanceof HungUpError ? error : reason;
  } finally {
    timer.cancel();
    ignore();
  }
}

/** Such a server has hung up on us, or is about to. */
function refuseMisguess(connection: Connection, { guesses }: Pipelined): void {
  if (connection.error !== undefined) throw new HungUpError(connection.error);
  for (const [api, version] of guesses) {
    const range = connection.versions.get(api.key);
    if (range !== undefined && version >= range.min && version <= range.max) continue;
    const broker = formatAddress(connection.address);
    throw new HungUpError(
      new ProtocolError(`The broker at ${broker} doesn't speak ${api.name} ${version}.`, { broker }),
    );
  }
}

async function shakeHands(
  connection: Connection,
  timeoutMs: number,
  firstVersion: number,
  addressee: Addressee | undefined,
): Promise<number> {
  let version = firstVersion;
  while (true) {
    const named = version === firstVersion ? undefined : version;
    const response = await ask(connection, version, { timeoutMs, named, addressee });
    if (response.errorCode === 0) {
      connection.versions = offered(response);
      connection.finalizedFeatures = new Map(
        response.finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]),
      );
      return version;
    }
    if (response.errorCode === REBOOTSTRAP_REQUIRED) throw misplaced(connection, addressee);
    const next = nextApiVersionsVersion(version, response);
    if (next === undefined) {
      throw brokerError(response.errorCode, { api: "ApiVersions", broker: formatAddress(connection.address) });
    }
    version = next;
  }
}

async function ask(
  connection: Connection,
  version: number,
  { timeoutMs, named, addressee }: {
    readonly timeoutMs: number;
    readonly named: number | undefined;
    readonly addressee: Addressee | undefined;
  },
): Promise<ResponseOf<typeof ApiVersions>> {
  const body = version < API_VERSIONS_WITH_SOFTWARE ? {} : {
    clientSoftwareName: SOFTWARE_NAME,
    clientSoftwareVersion: SOFTWARE_VERSION,
    ...(version < API_VERSIONS_WITH_ADDRESSEE ? undefined : addressee),
  };
  try {
    return await connection.request(ApiVersions, version, body, timeoutMs);
  } catch (error) {
    const ended = connection.error;
    // Bytes that are no answer to this request come from somebody who doesn't speak Kafka, whatever the version.
    const isForeign = ended instanceof ProtocolError && !connection.isMisread;
    if (!isForeign && (ended instanceof ConnectionError || ended instanceof ProtocolError)) {
      throw new HungUpError(ended, named);
    }
    throw error;
  }
}

/** The address leads to somebody else by now, in this cluster or in another one. */
function misplaced({ address }: Connection, addressee: Addressee | undefined): KafkaError {
  const broker = formatAddress(address);
  const who = addressee === undefined
    ? ""
    : ` is not node ${addressee.nodeId} of cluster ${show(addressee.clusterId)} and`;
  return new BrokerError(
    `Connecting to "${broker}" led elsewhere: the broker there${who} wants the bootstrap servers asked anew. Set ` +
      `"clusterCheck" to false if a proxy with ids of its own stands in between.`,
    { code: "REBOOTSTRAP_REQUIRED", errorCode: REBOOTSTRAP_REQUIRED, retriable: true, broker },
  );
}

function offered(response: ResponseOf<typeof ApiVersions>): Map<number, VersionRange> {
  const versions = new Map<number, VersionRange>();
  for (const { apiKey, minVersion, maxVersion } of response.apiKeys) {
    versions.set(apiKey, { min: minVersion, max: maxVersion });
  }
  return versions;
}
