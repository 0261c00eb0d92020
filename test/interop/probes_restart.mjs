/** What a broker still knows of idempotent producers when it has started again. These probes come last. */
/** Makes the probes. */
export function restartProbes({ batchOf, code, now, produce }) {
  const dayMs = 86_400_000n;
  /** @type {[bigint, string, string][]} */
  const ages = [[0n, "fresh", "only the last batch of a producer is known, the one before is 45"]];
  ages.push([2n * dayMs, "old", "a producer whose batches are dated two days back is forgotten"]);
  const probes = ages.flatMap(([ageMs, topic, what]) =>
    ["SIGKILL", "SIGTERM"].map((signal) => ({ ageMs, signal, topic: `${topic}-restarts`, what }))
  );
  return probes.map(({ ageMs, signal, topic, what }, index) => ({
    name: `after a restart (${signal}) ${what}`,
    run: async ({ wires, restart }) => {
      const base = { producerId: 4_000_080n + BigInt(index), epoch: 0, baseTimestamp: now() - ageMs };
      const batchWith = (sequence) => batchOf({ ...base, sequence, records: [{ value: "v" }] });
      const before = await wires.open();
      const seen = [];
      // The broker may have been started again just now, by the probe before this one.
      for (const sequence of [0, 1, 2, 3, 2]) {
        seen.push(code(await untilLed(() => produce(before, topic, batchWith(sequence)))));
      }
      await restart(signal);
      const after = await wires.open();
      for (const sequence of [2, 0, 3, 2, 5, 4, 3, 2]) {
        seen.push(code(await untilLed(() => produce(after, topic, batchWith(sequence)))));
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
