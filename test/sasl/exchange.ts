import type { SaslExchange } from "../../src/sasl/mod.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A broker's side of an exchange: each answer is a text, bytes, an error, or made from what was sent. */
export type Answer = string | Uint8Array | Error | ((message: string) => string);

/** An exchange with a script in place of a broker, and the messages that were sent. */
export function scripted(
  answers: readonly Answer[],
  { host = "broker.example", nowMs = Date.UTC(2026, 10, 29, 12, 34, 56), random = 0.5 }: {
    host?: string;
    nowMs?: number;
    random?: number;
  } = {},
): { exchange: SaslExchange; sent: string[]; clock: { nowMs: number; sleptMs: number[] } } {
  const sent: string[] = [];
  const left = [...answers];
  const clock = { nowMs, sleptMs: [] as number[] };
  const exchange: SaslExchange = {
    host,
    port: 9093,
    signal: new AbortController().signal,
    send(message) {
      const text = decoder.decode(message);
      sent.push(text);
      const answer = left.shift();
      if (answer === undefined) return Promise.reject(new Error(`Nothing is scripted behind ${sent.length} messages.`));
      if (answer instanceof Error) return Promise.reject(answer);
      const made = typeof answer === "function" ? answer(text) : answer;
      return Promise.resolve(typeof made === "string" ? encoder.encode(made) : made);
    },
    wallNow: () => clock.nowMs,
    sleep(delayMs) {
      clock.sleptMs.push(delayMs);
      clock.nowMs += delayMs;
      return Promise.resolve();
    },
    random: () => random,
  };
  return { exchange, sent, clock };
}
