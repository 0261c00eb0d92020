/**
 * Hooks: functions of the user's that are told what happens. Every event goes to the logger as well.
 *
 * @module
 */

import { watchRejection } from "../../call_options.ts";
import type { ConnectionHooks } from "../../cluster/hooks.ts";
import type { KafkaError } from "../../errors.ts";
import { outside } from "../../runtime/async_context.ts";
import { builtinModule } from "../../runtime/builtin.ts";
import type { BatchEvent } from "./batch_event.ts";
import type { Logger } from "./logger.ts";

/** A batch is going to be sent again. */
export interface RetryEvent {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** Records in the batch. */
  readonly records: number;
  /** How many attempts have failed. */
  readonly attempts: number;
  /** How long it waits first, in ms. It may wait longer, for metadata or behind an earlier batch. */
  readonly delayMs: number;
  /** Why the last attempt failed. */
  readonly error: KafkaError;
}

/** The producer has raised its epoch, to number the batches of a partition anew (KIP-360). */
export interface EpochBumpEvent {
  /** The producer id; −1n while there is none. */
  readonly producerId: bigint;
  /** The new epoch; −1 when the old id's are used up and a new id is asked for. */
  readonly producerEpoch: number;
}

/**
 * A broker misses records that were acknowledged or may have been, as after an unclean election. The producer goes
 * on.
 */
export interface DataLossEvent {
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly partition: number;
  /** The first sequence number of the batch that the broker did not expect. */
  readonly baseSequence: number;
  /** Records in that batch. */
  readonly records: number;
  /** What the broker said. */
  readonly error: KafkaError;
}

/**
 * Functions that are told what happens inside. Each is called soon after its event, in the order of the events, and
 * never from within the sender's own work: it may call the producer. What a hook throws is logged, once for each hook.
 */
export interface ProducerHooks extends ConnectionHooks {
  /** A batch is going to be sent again. */
  onRetry?(event: RetryEvent): void;
  /** The producer has raised its epoch. */
  onEpochBump?(event: EpochBumpEvent): void;
  /** Records may have been lost by the brokers. */
  onDataLossSuspected?(event: DataLossEvent): void;
  /** A batch has its outcome: in the order of the sends within a partition. */
  onBatch?(event: BatchEvent): void;
}

/** Each hook with the log event that says the same, and its level; batches write lines of their own. */
const EVENTS = {
  onConnect: ["info", "connected"],
  onConnectFailed: ["warn", "connect_failed"],
  onDisconnect: ["info", "disconnected"],
  onRequest: ["debug", "request"],
  onResponse: ["debug", "response"],
  onThrottle: ["info", "throttled"],
  onRetry: ["info", "batch_retried"],
  onEpochBump: ["info", "epoch_bumped"],
  onDataLossSuspected: ["warn", "data_loss_suspected"],
  onBatch: [],
} as const satisfies Readonly<Record<keyof ProducerHooks, readonly [level: keyof Logger, event: string] | readonly []>>;

/** The names of all hooks. */
export const HOOK_NAMES: readonly (keyof ProducerHooks)[] = Object.keys(EVENTS) as (keyof ProducerHooks)[];

type Listener = (event: object) => unknown;

/** What of `node:diagnostics_channel` is used. */
interface DiagnosticsChannels {
  channel(name: string): { publish(message: unknown): void };
  /** The channel's own `hasSubscribers` is a property on Node and a method on workerd. */
  hasSubscribers(name: string): boolean;
}

/**
 * Hooks that never throw, also write to the log, and are published on the diagnostics channel `sluice:onBatch` (and so
 * on), with the client id. One that neither user nor logger wants is there only while its channel has a subscriber, so
 * that otherwise its event isn't even made.
 */
export function guardedHooks(hooks: ProducerHooks, logger: Logger, clientId: string): ProducerHooks {
  const guarded: Record<string, Listener> = {};
  const waiting: (() => void)[] = [];
  const callSoon = (call: () => void): void => {
    if (waiting.push(call) > 1) return;
    // A hook is given for all callers: it is called in the context of none.
    outside(() => {
      void Promise.resolve().then(() => {
        for (const next of waiting.splice(0)) next();
      });
    });
  };
  const channels = builtinModule<DiagnosticsChannels>("node:diagnostics_channel");
  for (const name of HOOK_NAMES) {
    const hook = guard(hooks, name, logger);
    const channel = `sluice:${name}`;
    const [level, eventName] = EVENTS[name];
    const isLogged = level !== undefined && logger[level] !== undefined;
    const tell: Listener = (event) => {
      if (isLogged) logger[level]?.(eventName, event as Readonly<Record<string, unknown>>);
      if (hook !== undefined) callSoon(() => hook(event));
      if (channels?.hasSubscribers(channel)) callSoon(() => channels.channel(channel).publish({ clientId, ...event }));
    };
    if (hook !== undefined || isLogged) guarded[name] = tell;
    else Object.defineProperty(guarded, name, { get: () => channels?.hasSubscribers(channel) ? tell : undefined });
  }
  return guarded;
}

function guard(hooks: ProducerHooks, name: keyof ProducerHooks, logger: Logger): Listener | undefined {
  const hook = hooks[name] as Listener | undefined;
  if (hook === undefined) return undefined;
  let complained = false;
  const complain = (error: unknown): void => {
    if (complained) return;
    complained = true;
    logger.error?.("hook_threw", { hook: name, error });
  };
  return (event) => {
    try {
      watchRejection(hook.call(hooks, event), complain);
    } catch (error) {
      complain(error);
    }
  };
}
