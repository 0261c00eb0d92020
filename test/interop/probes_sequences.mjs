/** What is asked about idempotent producers. */
/** Makes the probes. */
export function sequencesProbes({ Produce, batchOf, bodyOf, code, endOf, now, produce, sequencedBatch }) {
  return [
    {
      name: "the last five batches of a producer are known, older ones are 45",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const pid = 4_000_000n;
        const offer = async (sequence) => {
          const { base, error } = await produce(wire, "window", sequencedBatch(pid, 0, sequence));
          return [error, base];
        };
        const seen = [];
        for (const sequence of [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0, 6, 1, 2]) seen.push(await offer(sequence));
        return seen;
      },
    },
    {
      name: "a duplicate is told the original offset and the batch's timestamp, whatever it holds",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const maxTimestamp = now();
        const batch = (value, count = 2) =>
          batchOf({
            producerId: 4_000_001n,
            epoch: 0,
            sequence: 0,
            baseTimestamp: maxTimestamp - 5n,
            records: Array.from({ length: count }, (_, i) => ({ value, timestampDelta: i === 0 ? 5 : 0 })),
          });
        const seen = [];
        for (const version of [3, 5, 7, 9, 11]) {
          seen.push(await produce(wire, "sequences", batch(`${version}`), { version, maxTimestamp }));
        }
        seen.push(code(await produce(wire, "sequences", batch("fewer", 1))));
        seen.push(code(await produce(wire, "sequences", batch("more", 3))));
        return seen;
      },
    },
    {
      name: "gaps, overlaps and old sequences are 45, the next one is taken",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const [sequence, count] of [[0, 3], [4, 1], [2, 1], [2, 4], [3, 2], [0, 1], [5, 1]]) {
          seen.push(await produce(wire, "sequences", sequencedBatch(4_000_002n, 0, sequence, count), { partition: 1 }));
        }
        return seen;
      },
    },
    {
      name: "without state any sequence and epoch is taken, and the first that comes decides",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (
          const [pid, epoch, sequence] of [[11, 0, 42], [12, 7, 5], [13, 0, 1], [13, 0, 0], [13, 0, 1], [13, 0, 2]]
        ) {
          seen.push(code(await produce(wire, "epochs", sequencedBatch(4_000_000n + BigInt(pid), epoch, sequence))));
        }
        return seen;
      },
    },
    {
      name: "a new epoch begins at 0 and may be far ahead, an older one is 47",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        const steps = [[0, 0], [0, 1], [1, 1], [1, 0], [0, 1], [0, 2], [3, 2], [3, 0], [32767, 0], [32767, 1], [3, 1], [
          -1,
          0,
        ]];
        for (const [epoch, sequence] of steps) {
          seen.push(code(await produce(wire, "epochs", sequencedBatch(4_000_020n, epoch, sequence))));
        }
        return seen;
      },
    },
    {
      name: "a producer id needs a sequence, and negative ids have none",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (
          const [pid, epoch, sequence] of [[9n, 0, -1], [9n, 0, -2], [-1n, 4, 5], [-1n, 4, 5], [-2n, 0, 0], [-2n, 0, 0]]
        ) {
          const producerId = pid > 0n ? 4_000_030n : pid;
          seen.push(await produce(wire, "epochs", batchOf({ producerId, epoch, sequence }), { partition: 1 }));
        }
        return seen;
      },
    },
    {
      name: "sequences wrap behind 2147483647",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const [sequence, count] of [[2147483645, 5], [2147483645, 5], [3, 1], [2, 1], [3, 2]]) {
          seen.push(code(await produce(wire, "sequences", sequencedBatch(4_000_040n, 0, sequence, count))));
        }
        for (const [sequence, count] of [[2147483647, 1], [1, 1], [0, 1]]) {
          seen.push(code(await produce(wire, "sequences", sequencedBatch(4_000_041n, 0, sequence, count))));
        }
        return seen;
      },
    },
    {
      name: "partitions of a request are judged apart, and acks 1 is sequenced too",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const pid = 4_000_050n;
        await produce(wire, "sequences", sequencedBatch(pid, 0, 0));
        const body = bodyOf([["sequences", 0, sequencedBatch(pid, 0, 5)], ["sequences", 1, sequencedBatch(pid, 0, 5)]]);
        const both = await wire.ask(Produce, 11, body);
        const parts = both.responses.flatMap((topic) => topic.partitionResponses);
        const codes = parts.map(({ errorCode, index }) => [index, errorCode]).sort();
        const ones = [];
        for (const sequence of [1, 1, 3, 2]) {
          ones.push(code(await produce(wire, "sequences", sequencedBatch(pid, 0, sequence), { acks: 1 })));
        }
        return [codes, ones];
      },
    },
    {
      name: "identical batches in one write leave one copy",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const batch = sequencedBatch(4_000_060n, 0, 0, 4);
        const before = await endOf(wire, "plain");
        const request = () => wire.request(Produce, 11, bodyOf([["plain", 0, batch]]));
        wire.write(Buffer.concat([request(), request(), request()]));
        const bases = [];
        for (let i = 0; i < 3; i++) {
          const { responses } = await wire.answer(Produce, 11);
          bases.push(responses[0].partitionResponses[0].baseOffset - before[1]);
        }
        return [bases, (await endOf(wire, "plain"))[1] - before[1]];
      },
    },
    {
      name: "a batch that is refused takes no sequence",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const base = { producerId: 4_000_070n, epoch: 0 };
        const big = { records: [{ value: "x".repeat(2000) }] };
        const seen = [];
        for (
          const batch of [{ sequence: 0 }, { sequence: 1, crcError: 1 }, { sequence: 1, count: 5 }, big, {
            sequence: 1,
          }]
        ) {
          seen.push(code(await produce(wire, "small", batchOf({ ...base, sequence: 1, ...batch }))));
        }
        return seen;
      },
    },
  ];
}
