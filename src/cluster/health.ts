/**
 * How the brokers are, for operators (a snapshot).
 *
 * @module
 */

/** A broker and the connection to it, at one moment. */
export interface BrokerHealth {
  /** Its node id; below 0 for a bootstrap server whose id isn't known. */
  readonly nodeId: number;
  /** Host name or address. */
  readonly host: string;
  /** TCP port. */
  readonly port: number;
  /** `"backoff"`: an attempt has failed and the next one has to wait; `"disconnected"`: nothing is wanted of it. */
  readonly state: "connected" | "throttled" | "connecting" | "backoff" | "disconnected";
  /** Age of the connection in ms; 0 without one. */
  readonly connectedMs: number;
  /** How long the broker still wants to be left alone, in ms. */
  readonly throttledMs: number;
  /** Requests without an answer. */
  readonly inFlight: number;
  /** Requests of all kinds so far, over all its connections. */
  readonly requests: number;
  /** Bytes sent to it so far. */
  readonly bytesSent: number;
  /** Bytes received from it so far. */
  readonly bytesReceived: number;
  /** Why the last connection or attempt failed; null if it didn't. */
  readonly lastError: string | null;
}
