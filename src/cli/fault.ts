/**
 * Faults of the embedded broker, as `--fault` writes them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import * as names from "../protocol/error_code_names.ts";
import { show } from "../show.ts";
import * as testing from "../testing/mod.ts";

/** What brokers do with requests of an API in place of serving them. */
export interface Fault {
  /** The API. */
  readonly api: testing.AnyApi;
  /** What happens. */
  readonly action: testing.ControlAction;
  /** How often; then requests are served. */
  readonly times: number;
}

/** The APIs that faults are about: those of producers and readers. */
const APIS: readonly testing.AnyApi[] = [
  ...[testing.Produce, testing.Fetch, testing.Metadata, testing.ListOffsets, testing.ApiVersions],
  ...[testing.InitProducerId, testing.FindCoordinator, testing.AddPartitionsToTxn, testing.EndTxn],
  ...[testing.JoinGroup, testing.SyncGroup, testing.Heartbeat, testing.OffsetCommit, testing.OffsetFetch],
];

const ACTIONS: Readonly<Record<string, testing.ControlAction>> = {
  drop: { drop: "before" },
  "drop-after": { drop: "after" },
  silence: { silence: true },
};

/**
 * `API:WHAT` or `API:WHAT:TIMES`, where WHAT is the name of an error, `drop` (the connection, unserved), `drop-after`
 * (served, unanswered), `silence` or `delay=MS`.
 *
 * @throws {ConfigError} for anything else
 */
export function parseFault(text: string): Fault {
  const [, apiName = "", what = "", times] = /^([A-Za-z]+):([A-Za-z_=\d-]+)(?::(\d{1,9}))?$/.exec(text) ?? [];
  const api = APIS.find(({ name }) => name.toLowerCase() === apiName.toLowerCase());
  if (api === undefined) {
    const known = APIS.map(({ name }) => name).join(", ");
    throw new ConfigError("fault", `Option --fault is ${show(text)}, wanted API:WHAT[:TIMES] with an API of ${known}`);
  }
  const action = actionOf(what);
  if (action === undefined || times === "0") {
    const wanted = "an error such as NOT_LEADER_OR_FOLLOWER, drop, drop-after, silence or delay=MS, and TIMES from 1";
    throw new ConfigError("fault", `Option --fault is ${show(text)}, wanted as WHAT ${wanted}`);
  }
  return { api, action, times: times === undefined ? Infinity : Number(times) };
}

function actionOf(what: string): testing.ControlAction | undefined {
  if (Object.hasOwn(ACTIONS, what)) return ACTIONS[what];
  const delay = /^delay=(\d{1,9})$/.exec(what);
  if (delay !== null) return { delayMs: Number(delay[1]) };
  const codes: Readonly<Record<string, unknown>> = names;
  const error = Object.hasOwn(codes, what.toUpperCase()) ? codes[what.toUpperCase()] : undefined;
  return typeof error === "number" && error !== 0 ? { error } : undefined;
}
