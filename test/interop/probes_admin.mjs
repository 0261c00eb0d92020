/** What an admin client asks: topics, partitions, configs, records, offsets of groups, the cluster. */
/** Makes the probes. */
export function adminProbes(
  {
    CreatePartitions,
    CreateTopics,
    DeleteRecords,
    DeleteTopics,
    DescribeCluster,
    DescribeConfigs,
    FindCoordinator,
    IncrementalAlterConfigs,
    OffsetCommit,
    OffsetDelete,
    dated,
    endOf,
    produce,
  },
) {
  const timeoutMs = 10_000;
  const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
  const topic = (name, more = {}) => ({ name, numPartitions: 1, replicationFactor: 1, ...more });
  const placed = (brokerIds, partitionIndex = 0) => ({ partitionIndex, brokerIds });
  const outcome = ({ errorCode, errorMessage }) => [errorCode, errorMessage !== null && errorMessage !== ""];

  async function create(wire, topics, validateOnly = false) {
    const answer = await wire.ask(CreateTopics, 7, { topics, timeoutMs, validateOnly });
    // How many partitions a topic has by default is the broker's own setting.
    const numbers = (it) => it.name === "admin-default" ? [] : [it.numPartitions, it.replicationFactor];
    return answer.topics.map((it) => [it.name, ...outcome(it), ...numbers(it)]).sort();
  }

  async function drop(wire, names) {
    const topics = names.map((name) => ({ name, topicId: "0".repeat(32) }));
    const { responses } = await wire.ask(DeleteTopics, 6, { topics, timeoutMs });
    return responses.map((it) => [it.name, it.errorCode]).sort();
  }

  /** Until every part of the broker knows a topic. */
  async function known(wire, name) {
    for (;;) {
      const [code] = await endOf(wire, name);
      if (code === 0) return;
      await pause();
    }
  }

  const resource = (name, configs, resourceType = 2) => ({ resourceType, resourceName: name, configs });
  const change = (name, value, configOperation = 0) => ({ name, value, configOperation });

  return [
    {
      name: "admin: topics are created, or refused one by one",
      async run({ wires }) {
        const wire = await wires.open();
        const seen = await create(wire, [
          topic("admin-plain"),
          topic("admin-placed", {
            numPartitions: -1,
            replicationFactor: -1,
            assignments: [placed([1]), placed([1], 1)],
          }),
          topic("admin-default", { numPartitions: -1, replicationFactor: -1 }),
          topic("plain"),
          topic("bad name"),
          topic("admin-none", { numPartitions: 0 }),
          topic("admin-far", { replicationFactor: 3 }),
          topic("admin-stranger", { numPartitions: -1, replicationFactor: -1, assignments: [placed([9])] }),
          topic("admin-gap", { numPartitions: -1, replicationFactor: -1, assignments: [placed([1], 1)] }),
          topic("admin-twice", { numPartitions: -1, replicationFactor: -1, assignments: [placed([1, 1])] }),
          topic("admin-both", { assignments: [placed([1])] }),
          topic("admin-config", { configs: [{ name: "retention.ms", value: "soon" }] }),
          topic("admin-unknown", { configs: [{ name: "no.such.config", value: "1" }] }),
        ]);
        const tried = await create(wire, [topic("admin-tried", { numPartitions: 4 }), topic("plain")], true);
        const doubled = await create(wire, [topic("admin-d"), topic("admin-d")]);
        return { seen, tried, doubled };
      },
    },
    {
      name: "admin: partitions are added, or refused one by one",
      async run({ wires }) {
        const wire = await wires.open();
        await create(wire, ["more", "same", "fewer", "placed", "odd", "tried"].map((name) => topic(`admin-p-${name}`)));
        const asked = (name, count, assignments = null) => ({ name, count, assignments });
        const ask = async (topics, validateOnly) => {
          const { results } = await wire.ask(CreatePartitions, 3, { topics, timeoutMs, validateOnly });
          return results.map((it) => [it.name, ...outcome(it)]).sort();
        };
        const results = await ask([
          asked("admin-p-more", 3),
          asked("admin-p-same", 1),
          asked("admin-p-fewer", 0),
          asked("admin-p-placed", 3, [{ brokerIds: [1] }, { brokerIds: [1] }]),
          asked("admin-p-odd", 3, [{ brokerIds: [1] }]),
          asked("admin-p-nowhere", 2),
        ], false);
        const tried = await ask([asked("admin-p-tried", 2)], true);
        return { results, tried, again: await ask([asked("admin-p-tried", 1)], false) };
      },
    },
    {
      name: "admin: topics are deleted, or refused one by one",
      async run({ wires }) {
        const wire = await wires.open();
        await create(wire, [topic("admin-gone"), topic("admin-doubled")]);
        return {
          deleted: await drop(wire, ["admin-gone", "admin-nowhere"]),
          again: await drop(wire, ["admin-gone"]),
          anew: await create(wire, [topic("admin-gone")]),
        };
      },
    },
    {
      name: "admin: a topic has the configs of its release, with their types and defaults",
      async run({ wires }) {
        const wire = await wires.open();
        await create(wire, [topic("admin-configs", { configs: [{ name: "retention.ms", value: "5000" }] })]);
        await known(wire, "admin-configs");
        const ask = async (resources) => {
          const body = { resources: resources.map((it) => ({ ...it, configurationKeys: it.keys ?? null })) };
          return (await wire.ask(DescribeConfigs, 4, body)).results;
        };
        const [all] = await ask([resource("admin-configs")]);
        // What the test's own broker is started with.
        const own = ["retention.ms", "min.insync.replicas"];
        const configs = all.configs.map((it) => [
          ...[it.name, it.configType, it.readOnly, it.isSensitive],
          own.includes(it.name) ? "" : `${it.configSource} ${it.value}`,
        ]).sort();
        const some = await ask([{ ...resource("admin-configs"), keys: ["retention.ms", "no.such.config"] }]);
        const refused = await ask([resource("admin-nowhere"), resource("bad name")]);
        return {
          configs,
          some: some[0].configs.map((it) => [it.name, it.value, it.configSource]),
          refused: refused.map((it) => [it.errorCode, it.configs]),
        };
      },
    },
    {
      name: "admin: configs are set, deleted, appended and subtracted, or refused one by one",
      async run({ wires }) {
        const wire = await wires.open();
        const names = ["set", "list", "bad", "unknown", "twice", "number", "null"].map((name) => `admin-c-${name}`);
        await create(wire, names.map((name) => topic(name)));
        const ask = async (resources, validateOnly = false) => {
          const { responses } = await wire.ask(IncrementalAlterConfigs, 1, { resources, validateOnly });
          return responses.map((it) => [it.resourceName, ...outcome(it)]).sort();
        };
        const altered = await ask([
          resource("admin-c-set", [change("max.message.bytes", "2000"), change("segment.ms", null, 1)]),
          resource("admin-c-list", [change("cleanup.policy", "compact", 2)]),
          resource("admin-c-bad", [change("max.message.bytes", "many")]),
          resource("admin-c-unknown", [change("no.such.config", "1")]),
          resource("admin-c-twice", [change("max.message.bytes", "1"), change("max.message.bytes", "2")]),
          resource("admin-c-number", [change("max.message.bytes", "1", 2)]),
          resource("admin-c-null", [change("max.message.bytes", null)]),
          resource("admin-c-nowhere", [change("max.message.bytes", "1")]),
        ]);
        const subtracted = await ask([resource("admin-c-list", [change("cleanup.policy", "delete", 3)])]);
        const tried = await ask([resource("admin-c-set", [change("max.message.bytes", "3000")])], true);
        const body = {
          resources: ["admin-c-set", "admin-c-list"].map((name) => (
            { ...resource(name), configurationKeys: ["cleanup.policy", "max.message.bytes"] }
          )),
        };
        // A broker applies what the controller has decided after a moment, a longer one on a busy machine.
        for (let left = 200;; left--) {
          const { results } = await wire.ask(DescribeConfigs, 4, body);
          const values = results.map((it) => it.configs.map(({ name, value }) => `${name}=${value}`).sort());
          const isThere = JSON.stringify(values).includes("max.message.bytes=2000") &&
            !JSON.stringify(values[1]).includes("delete");
          if (isThere || left === 0) return { altered, subtracted, tried, values };
          await pause();
        }
      },
    },
    {
      name: "admin: records before an offset are deleted, or it is said why not",
      async run({ wires }) {
        const wire = await wires.open();
        const compacted = [{ name: "cleanup.policy", value: "compact" }];
        await create(wire, [topic("admin-records"), topic("admin-kept", { configs: compacted })]);
        for (const name of ["admin-records", "admin-kept"]) await known(wire, name);
        for (let i = 0; i < 5; i++) await produce(wire, "admin-records", dated());
        const ask = async (name, offset, partitionIndex = 0) => {
          const topics = [{ name, partitions: [{ partitionIndex, offset }] }];
          const answer = await wire.ask(DeleteRecords, 2, { topics, timeoutMs });
          const [{ errorCode, lowWatermark }] = answer.topics[0].partitions;
          return [errorCode, lowWatermark];
        };
        return {
          three: await ask("admin-records", 3n),
          before: await ask("admin-records", 1n),
          beyond: await ask("admin-records", 99n),
          negative: await ask("admin-records", -2n),
          all: await ask("admin-records", -1n),
          start: await endOf(wire, "admin-records", 0, -2n),
          compacted: await ask("admin-kept", 0n),
          nowhere: await ask("admin-nowhere", 0n),
          partition: await ask("admin-records", 0n, 7),
        };
      },
    },
    {
      name: "admin: offsets of a group are deleted while nobody is in it",
      async run({ wires }) {
        const wire = await wires.open();
        const groupId = "admin-offsets";
        const commit = async () => {
          const partitions = [{ partitionIndex: 0, committedOffset: 1n, committedMetadata: "" }];
          const answer = await wire.ask(OffsetCommit, 8, {
            ...{ groupId, generationIdOrMemberEpoch: -1, memberId: "", groupInstanceId: null },
            topics: [{ name: "plain", partitions }],
          });
          return answer.topics[0].partitions[0].errorCode;
        };
        for (let code = 15; code !== 0;) {
          code = (await wire.ask(FindCoordinator, 3, { key: groupId, keyType: 0 })).errorCode;
          if (code === 0) code = await commit();
          if (code !== 0) await pause();
        }
        const ask = async (group, topics) => {
          const answer = await wire.ask(OffsetDelete, 0, { groupId: group, topics });
          return [answer.errorCode, answer.topics.map((it) => [it.name, it.partitions.map((each) => each.errorCode)])];
        };
        return {
          nowhere: await ask(groupId, [{ name: "admin-nowhere", partitions: [{ partitionIndex: 0 }] }]),
          // The last thing: until Kafka 4 a group that has no offsets any more is gone at once.
          deleted: await ask(groupId, [{ name: "plain", partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] }]),
          nobody: await ask("admin-nobody", [{ name: "plain", partitions: [{ partitionIndex: 0 }] }]),
        };
      },
    },
    {
      name: "admin: the cluster is described",
      async run({ wires }) {
        const wire = await wires.open();
        const ask = async (version, body = {}) => {
          const answer = await wire.ask(DescribeCluster, version, {
            includeClusterAuthorizedOperations: false,
            ...body,
          });
          const brokers = answer.brokers.map(({ brokerId, isFenced, rack }) => [brokerId, isFenced, rack]);
          return [answer.errorCode, answer.controllerId, brokers, answer.clusterAuthorizedOperations];
        };
        return { first: await ask(0), second: await ask(1), controllers: await ask(1, { endpointType: 2 }) };
      },
    },
  ];
}
