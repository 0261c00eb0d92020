/** What is asked about Produce requests as a whole. */
/** Makes the probes. */
export function produceProbes({ Metadata, Produce, batchOf, bodyOf, code, dated, endOf, produce }) {
  return [
    {
      name: "acks that are none",
      run: async ({ wires }) => {
        const seen = [];
        for (const acks of [2, -2, 7]) seen.push(await produce(await wires.open(), "plain", dated(), { acks }));
        return seen;
      },
    },
    {
      name: "acks 0 is not answered, and an error ends the connection behind the good partitions",
      run: async ({ wires }) => {
        const wire = await wires.open();
        wire.write(wire.request(Produce, 11, bodyOf([["produce", 0, dated()]], { acks: 0 })));
        const first = await wire.ask(Metadata, 9, { topics: [] });
        const data = [["produce", 0, dated()], ["missing", 0, dated()]];
        wire.write(Buffer.concat([
          wire.request(Produce, 11, bodyOf(data, { acks: 0 })),
          wire.request(Metadata, 9, { topics: [] }),
        ]));
        const second = await wire.frame(3_000);
        return [typeof first, Buffer.isBuffer(second) ? "answer" : second, await endOf(await wires.open(), "produce")];
      },
    },
    {
      name: "a partition twice in a request, a topic twice in a request",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const [before] = [(await endOf(wire, "produce", 1))[1]];
        const records = (count) => dated({ records: Array.from({ length: count }, () => ({ value: "v" })) });
        const twice = await wire.ask(Produce, 11, {
          acks: -1,
          timeoutMs: 1000,
          topicData: [{
            name: "produce",
            partitionData: [{ index: 1, records: records(1) }, { index: 1, records: records(3) }],
          }],
        });
        const between = (await endOf(wire, "produce", 1))[1];
        const body = bodyOf([["produce", 0, records(1)], ["produce", 1, records(1)]]);
        const both = await wire.ask(Produce, 11, body);
        const count = (answer) => answer.responses.flatMap((topic) => topic.partitionResponses).length;
        return [count(twice), between - before, both.responses.length, count(both)];
      },
    },
    {
      name: "topics and partitions that are not there",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const topic of ["missing", "bad topic", "", "..", "x".repeat(250), "Ä"]) {
          seen.push(await produce(wire, topic, dated()));
        }
        for (const partition of [2, 77, -1]) seen.push(await produce(wire, "plain", dated(), { partition }));
        return seen;
      },
    },
    {
      name: "Produce 13 by id",
      releases: ["4.1.1", "4.4.0"],
      run: async ({ wires, idOf }) => {
        const wire = await wires.open();
        const seen = [];
        for (const id of [idOf("plain"), "12".repeat(16), "0".repeat(32)]) {
          seen.push(code(await produce(wire, id, dated(), { version: 13 })));
        }
        seen.push(await produce(wire, idOf("plain"), dated(), { version: 13, partition: 9 }));
        return seen;
      },
    },
    {
      name: "every version of Produce that is served",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (let version = 3; version <= 11; version++) {
          seen.push(code(await produce(wire, "plain", dated(), { version, partition: 1 })));
        }
        return seen;
      },
    },
    {
      name: "timeouts of 0 and less with one replica, and more in sync than there are replicas",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const timeoutMs of [0, -1]) seen.push(code(await produce(wire, "plain", dated(), { timeoutMs })));
        for (const acks of [-1, 1]) seen.push(await produce(wire, "demanding", dated(), { acks }));
        return seen;
      },
    },
    {
      name: "a transactional batch without a transactional id is 53 for all of the request",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const transactional = batchOf({ attributes: 16, producerId: 4_000_090n, epoch: 0, sequence: 0 });
        const { responses } = await wire.ask(
          Produce,
          11,
          bodyOf([["plain", 0, transactional], ["produce", 0, dated()]]),
        );
        return responses.map(({ name, partitionResponses }) => [name, partitionResponses[0].errorCode]).sort();
      },
    },
    {
      name: "a quota is told at once, and the next request of the connection waits for it",
      run: async ({ wires, setQuota }) => {
        await setQuota("throttled", 10_000);
        const wire = await wires.open();
        const options = { clientId: "throttled" };
        const body = bodyOf([["plain", 0, dated({ records: [{ value: "x".repeat(120_000) }] })]]);
        const startedMs = performance.now();
        const { throttleTimeMs } = await wire.ask(Produce, 11, body, options);
        const toldMs = performance.now();
        await wire.ask(Metadata, 9, { topics: [] }, { ...options, withinMs: 20_000 });
        const endedMs = performance.now();
        const other = await wires.open();
        const old = await other.ask(Produce, 5, body, options);
        // 120 KB at 10 KB/s in a window of 10 s are 2 s too fast, twice as much 14 s.
        return {
          told: Math.abs(throttleTimeMs - 2_000) < 400,
          // Bounds from below alone, which a slow machine doesn't break. Behind an answer that was held back until the
          // time is over, nothing is left to wait for.
          atOnce: endedMs - toldMs >= 200,
          waited: endedMs - startedMs >= throttleTimeMs - 50,
          toldInOldVersion: Math.abs(old.throttleTimeMs - 14_000) < 1_000,
        };
      },
    },
  ];
}
