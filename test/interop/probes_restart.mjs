/** What a broker still knows of idempotent producers when it has started again. These probes come last. */
/** Makes the probes. */
export function restartProbes({ batchOf, code, now, produce }) {
  // Not older than a day: a broker that starts again forgets producers by the timestamps of their batches.
  const timestamp = now();
  return ["SIGKILL", "SIGTERM"].map((signal, index) => ({
    name: `after a restart (${signal}) only the last batch of a producer is known, the one before is 45`,
    run: async ({ wires, restart }) => {
      const pid = 4_000_080n + BigInt(index);
      const batchWith = (sequence) =>
        batchOf({ producerId: pid, epoch: 0, sequence, baseTimestamp: timestamp, records: [{ value: "v" }] });
      const before = await wires.open();
      const seen = [];
      for (const sequence of [0, 1, 2, 3, 2]) {
        seen.push(code(await produce(before, "restarts", batchWith(sequence))));
      }
      await restart(signal);
      const after = await wires.open();
      for (const sequence of [2, 0, 3, 2, 5, 4, 3, 2]) {
        seen.push(code(await untilLed(() => produce(after, "restarts", batchWith(sequence)))));
      }
      return seen;
    },
  }));

  /** It answers before it knows what it leads. */
  async function untilLed(offer) {
    for (let left = 200;; left--) {
      const answer = await offer();
      if (![3, 5, 6].includes(code(answer)) || left === 0) return answer;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
