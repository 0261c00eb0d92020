/** What is asked about other requests, versions and connections. */
/** Makes the probes. */
export function requestsProbes(
  {
    ApiVersions,
    CreateTopics,
    Fetch,
    InitProducerId,
    ListOffsets,
    Metadata,
    Produce,
    batchOf,
    dated,
    endOf,
    fetchBody,
    fetchOne,
    now,
    produce,
  },
) {
  return [
    {
      name: "metadata: names, ids, nothing, everything",
      run: async ({ wires, idOf }) => {
        const wire = await wires.open();
        const ask = async (version, topics) => {
          const answer = await wire.ask(Metadata, version, { topics, allowAutoTopicCreation: false });
          if (typeof answer === "string") return answer;
          return answer.topics.map(({ errorCode, name, topicId, partitions }) => [
            errorCode,
            name,
            topicId === idOf(name) ? "its id" : topicId,
            partitions.map((
              { errorCode, isrNodes, leaderId, partitionIndex, replicaNodes },
            ) => [partitionIndex, errorCode, leaderId, replicaNodes, isrNodes]).sort(),
          ]);
        };
        const all = await ask(12, null);
        const zero = "0".repeat(32);
        return {
          some: await ask(12, [{ name: "plain" }, { name: "plain" }]),
          none: await ask(12, []),
          all: all.filter(([, name]) => !name.startsWith("__")).map(([, name]) => name).sort(),
          missing: await ask(12, [{ name: "missing" }]),
          bad: [await ask(12, [{ name: "bad topic" }]), await ask(12, [{ name: ".." }])],
          byId: await ask(12, [{ topicId: idOf("plain"), name: null }]),
          both: await ask(12, [{ topicId: idOf("plain"), name: "plain" }]),
          unknownId: await ask(12, [{ topicId: "ab".repeat(16), name: null }]),
          zeroId: await ask(12, [{ topicId: zero, name: "plain" }]),
        };
      },
    },
    {
      name: "ApiVersions: ranges of what a producer needs, versions too high, names too strange",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const needed = [Produce, Fetch, ListOffsets, Metadata, ApiVersions, CreateTopics, InitProducerId];
        const ranges = {};
        const newest = (await wire.ask(ApiVersions, 0, {})).apiKeys.find(({ apiKey }) => apiKey === ApiVersions.key);
        for (let version = 0; version <= newest.maxVersion; version++) {
          const body = version < 3 ? {} : { clientSoftwareName: "sluice-kafka", clientSoftwareVersion: "1.0.0-beta.1" };
          const { apiKeys, errorCode, finalizedFeatures } = await wire.ask(ApiVersions, version, body);
          const found = apiKeys.filter(({ apiKey }) => needed.some(({ key }) => key === apiKey));
          const features = finalizedFeatures.map(({ name, maxVersionLevel }) => [name, maxVersionLevel]).sort();
          ranges[version] = [
            errorCode,
            found.map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion])
              .sort((a, b) => a[0] - b[0]),
            features,
          ];
        }
        const strange = {};
        for (const name of ["@sluice/kafka", "sluice_kafka", "a b", "", "-a", "a.", "a", "1.0.0+build"]) {
          const body = { clientSoftwareName: name, clientSoftwareVersion: "1" };
          const answer = await wire.ask(ApiVersions, 3, body);
          strange[name] = typeof answer === "string" ? answer : [answer.errorCode, answer.apiKeys.length > 0];
        }
        const high = [];
        for (const version of [newest.maxVersion + 1, 127]) {
          const request = wire.request(ApiVersions, 4, { clientSoftwareName: "a", clientSoftwareVersion: "1" });
          request.writeInt16BE(version, 6);
          wire.write(request);
          const frame = await wire.frame();
          high.push(Buffer.isBuffer(frame) ? frame.subarray(4).toString("hex") : frame);
        }
        return { ranges, strange, high };
      },
    },
    {
      name: "ApiVersions 5: who is told the id of its cluster, of another one, its own node id, or half of both",
      releases: ["4.4.0"],
      run: async ({ wires }) => {
        const wire = await wires.open();
        const { clusterId: ours, brokers: [{ nodeId }] } = await wire.ask(Metadata, 12, { topics: [] });
        const seen = [];
        for (const clusterId of [null, ours, "another", ""]) {
          for (const id of [-1, nodeId, nodeId + 1]) {
            const body = { clientSoftwareName: "probe", clientSoftwareVersion: "1", clusterId, nodeId: id };
            const answer = await wire.ask(ApiVersions, 5, body);
            const said = typeof answer === "string" ? answer : [answer.errorCode, answer.apiKeys.length > 0];
            seen.push([clusterId === ours ? "ours" : clusterId, id - nodeId, said]);
          }
        }
        return seen;
      },
    },
    {
      name: "what closes the connection without an answer",
      run: async ({ wires }) => {
        const header = (key, version) => {
          const bytes = Buffer.alloc(14);
          bytes.writeInt32BE(10);
          bytes.writeInt16BE(key, 4);
          bytes.writeInt16BE(version, 6);
          bytes.writeInt16BE(-1, 12);
          return bytes;
        };
        const seen = {};
        const cases = {
          "unknown API": header(999, 0),
          "Produce 2": header(0, 2),
          "Produce 99": header(0, 99),
          "Metadata -1": header(3, -1),
          "body cut off": header(3, 9),
          "length 0": Buffer.alloc(4),
          "length 3": Buffer.of(0, 0, 0, 3, 1, 2, 3),
          "length -1": Buffer.alloc(4, 255),
          "too long": Buffer.of(0, 0x1e, 0x84, 0x81),
          "HTTP": Buffer.from("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"),
        };
        for (const [name, bytes] of Object.entries(cases)) {
          const wire = await wires.open();
          wire.write(bytes);
          seen[name] = await wire.frame(2_000);
        }
        return seen;
      },
    },
    {
      name: "bytes behind the last field and unknown tags are ignored",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        const metadata = wire.request(Metadata, 8, { topics: [] });
        wire.write(extended(metadata, [1, 2, 3]));
        seen.push(typeof await wire.answer(Metadata, 8));
        const flexible = wire.request(Metadata, 9, { topics: [] });
        wire.write(extended(flexible, [1, 2, 3]));
        seen.push(typeof await wire.answer(Metadata, 9));
        // The last byte counts the tags of the body: one, number 99, of two bytes.
        wire.write(extended(flexible.subarray(0, -1), [1, 99, 2, 7, 7]));
        seen.push(typeof await wire.answer(Metadata, 9));
        return seen;
      },
    },
    {
      name: "correlation ids and client ids of any kind come back in order",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const requests = [[null, -5], ["", 7], ["ключ", 7], ["x".repeat(300), 2147483647], ["probe", -2147483648]];
        wire.write(
          Buffer.concat(
            requests.map(([clientId, correlationId]) =>
              wire.request(Metadata, 9, { topics: [] }, { clientId, correlationId })
            ),
          ),
        );
        const seen = [];
        for (let i = 0; i < requests.length; i++) seen.push((await wire.frame()).readInt32BE(0));
        return seen;
      },
    },
    {
      name: "a start-up in one write is answered in order, refused ApiVersions or not",
      run: async ({ wires }) => {
        const seen = [];
        for (const clientSoftwareName of ["good", "not good"]) {
          const wire = await wires.open();
          wire.write(Buffer.concat([
            wire.request(ApiVersions, 3, { clientSoftwareName, clientSoftwareVersion: "1" }),
            wire.request(Metadata, 9, { topics: [{ name: "plain" }] }),
            wire.request(ListOffsets, 5, { replicaId: -1, topics: [] }),
          ]));
          const [versions, metadata] = [await wire.answer(ApiVersions, 3), await wire.answer(Metadata, 9)];
          seen.push(versions.errorCode, metadata.topics[0].errorCode, typeof await wire.answer(ListOffsets, 5));
        }
        return seen;
      },
    },
    {
      name: "a request waits for the one before it",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const [, end] = await endOf(wire, "plain");
        const startedMs = performance.now();
        wire.write(Buffer.concat([
          wire.request(Fetch, 11, fetchBody("plain", { fetchOffset: end }, { maxWaitMs: 600 })),
          wire.request(Metadata, 9, { topics: [] }),
        ]));
        await wire.answer(Fetch, 11);
        await wire.answer(Metadata, 9);
        return performance.now() - startedMs >= 550;
      },
    },
    {
      name: "InitProducerId without a transactional id",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const ask = async (version, body) => {
          for (;;) {
            const answer = await wire.ask(InitProducerId, version, {
              transactionalId: null,
              transactionTimeoutMs: 60_000,
              ...body,
            });
            if (answer.errorCode !== 14) return answer;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        };
        const first = await ask(4, {});
        const seen = [];
        for (const [version, body] of [[0, {}], [4, { producerId: first.producerId, producerEpoch: 0 }], [5, {}]]) {
          const { errorCode, producerEpoch, producerId } = await ask(version, body);
          seen.push([errorCode, producerEpoch, producerId > first.producerId]);
        }
        for (const body of [{ producerId: 5n }, { producerEpoch: 1 }, { transactionalId: "" }]) {
          seen.push((await ask(4, body)).errorCode);
        }
        return seen;
      },
    },
    {
      name: "Fetch: offsets, epochs, sessions",
      run: async ({ wires }) => {
        const wire = await wires.open();
        for (let i = 0; i < 3; i++) await produce(wire, "reading", dated({ records: [{}, {}] }), { partition: 1 });
        const size = dated({ records: [{}, {}] }).length;
        const seen = {};
        const cases = {
          "all": {},
          "in the middle": { fetchOffset: 3n },
          "little room": { partitionMaxBytes: size + 1 },
          "no room": { partitionMaxBytes: 1 },
          "at the end": { fetchOffset: 6n },
          "behind the end": { fetchOffset: 7n },
          "before the start": { fetchOffset: -1n },
          "this epoch": { currentLeaderEpoch: 0 },
          "a later epoch": { currentLeaderEpoch: 9 },
          "no such partition": { partition: 9 },
        };
        for (const [name, asked] of Object.entries(cases)) {
          const { errorCode, highWatermark, lastStableOffset, logStartOffset, records } = await fetchOne(
            wire,
            "reading",
            0n,
            { partition: 1, ...asked },
          );
          seen[name] = [errorCode, highWatermark, lastStableOffset, logStartOffset, (records?.length ?? 0) / size];
        }
        const session = await wire.ask(Fetch, 11, fetchBody("reading", {}, { sessionId: 77, sessionEpoch: 3 }));
        seen["no such session"] = [session.errorCode, session.responses.length];
        const missing = await wire.ask(Fetch, 11, fetchBody("missing", {}));
        seen["no such topic"] = missing.responses[0].partitions[0].errorCode;
        const byId = await wire.ask(Fetch, 13, fetchBody("12".repeat(16), {}));
        seen["no such id"] = [byId.errorCode, byId.responses[0]?.partitions[0].errorCode];
        return seen;
      },
    },
    {
      name: "ListOffsets: ends, times, epochs",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const base = now() - 100_000n;
        const [, before] = await endOf(wire, "window", 1);
        for (let i = 0n; i < 3n; i++) {
          const records = [{}, { timestampDelta: 10 }];
          await produce(wire, "window", batchOf({ baseTimestamp: base + 100n * i, records }), { partition: 1 });
        }
        const ask = async (timestamp, currentLeaderEpoch = -1, partitionIndex = 1) => {
          const partitions = [{ partitionIndex, timestamp, currentLeaderEpoch }];
          const { topics } = await wire.ask(ListOffsets, 7, {
            replicaId: -1,
            topics: [{ name: "window", partitions }],
          });
          const { errorCode, leaderEpoch, offset, timestamp: found } = topics[0].partitions[0];
          return [errorCode, offset, found === -1n ? "none" : found - base, leaderEpoch];
        };
        const times = [];
        for (const at of [-5000n, 0n, 1n, 10n, 11n, 205n, 211n]) times.push(await ask(base + at));
        return [
          before,
          await ask(-1n),
          await ask(-2n),
          await ask(-3n),
          times,
          await ask(-1n, 9),
          await ask(-1n, -1, 9),
        ];
      },
    },
    {
      name: "CreateTopics says why not",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const ask = async (...topics) => {
          const full = topics.map((topic) => ({ name: "made", numPartitions: 1, replicationFactor: 1, ...topic }));
          const answer = await wire.ask(CreateTopics, 7, { topics: full, validateOnly: true });
          return answer.topics.map((
            { errorCode, name, numPartitions, replicationFactor },
          ) => [name, errorCode, numPartitions, replicationFactor]);
        };
        return [
          await ask({}),
          await ask({ name: "plain" }),
          await ask({ name: "bad topic" }),
          await ask({ numPartitions: 0 }),
          await ask({ replicationFactor: 5 }),
          await ask({ replicationFactor: 0 }),
          await ask({ configs: [{ name: "segment.bytes", value: "x" }] }),
          await ask({}, {}),
        ];
      },
    },
    {
      name: "an idle connection is closed, used or not",
      run: async ({ wires }) => {
        const [unused, used] = [await wires.open(), await wires.open()];
        const startedMs = performance.now();
        await used.ask(Metadata, 9, { topics: [] });
        const seen = await Promise.all([unused.frame(60_000), used.frame(60_000)]);
        return [seen, performance.now() - startedMs > 7_500];
      },
    },
  ];
}

/** A request with bytes behind it, its length corrected. */
function extended(frame, bytes) {
  const longer = Buffer.concat([frame, Buffer.from(bytes)]);
  longer.writeInt32BE(longer.length - 4);
  return longer;
}
