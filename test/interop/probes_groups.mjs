/** What is asked about groups with the classic protocol. */
/** Makes the probes. */
export function groupsProbes(
  {
    DeleteGroups,
    ConsumerGroupDescribe,
    DescribeGroups,
    FindCoordinator,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    ListGroups,
    OffsetCommit,
    OffsetFetch,
    OffsetForLeaderEpoch,
    SyncGroup,
  },
) {
  const sleep = (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs));
  const byGroup = (one, other) => one.groupId < other.groupId ? -1 : 1;
  const text = (bytes) => Buffer.from(bytes).toString();

  /** A connection to the coordinator of a group, and what members say. Ids are shown by the names that they get. */
  class Member {
    constructor(wire, group, names) {
      this.wire = wire;
      this.group = group;
      this.names = names;
    }

    static async start(wires, group, names = new Map()) {
      const member = new Member(await wires.open(), group, names);
      for (let code = 15; code !== 0;) {
        const found = await member.wire.ask(FindCoordinator, 3, { key: group, keyType: 0 });
        code = found.errorCode;
        if (code === 0) code = (await member.wire.ask(OffsetFetch, 7, { groupId: group, topics: [] })).errorCode;
        if (code !== 0) await sleep(50);
      }
      return member;
    }

    shown(id) {
      if (id === "") return "";
      if (!this.names.has(id)) this.names.set(id, `member ${this.names.size + 1}`);
      return this.names.get(id);
    }

    sendJoin(memberId, options = {}) {
      const { instanceId = null, protocols = [["range", "about"]], protocolType = "consumer", version = 9 } = options;
      const body = {
        groupId: options.group ?? this.group,
        sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
        rebalanceTimeoutMs: 10_000,
        ...{ memberId, protocolType },
        ...(version < 5 ? {} : { groupInstanceId: instanceId }),
        protocols: protocols.map(([name, metadata]) => ({ name, metadata: Buffer.from(metadata) })),
      };
      this.wire.write(this.wire.request(JoinGroup, version, body));
      return version;
    }

    /** @returns {Promise<any>} */
    async joined(version = 9) {
      const answer = await this.wire.answer(JoinGroup, version);
      if (typeof answer === "string") return answer;
      this.id = answer.memberId;
      return {
        error: answer.errorCode,
        generation: answer.generationId,
        protocol: [answer.protocolType, answer.protocolName],
        leader: this.shown(answer.leader),
        id: this.shown(answer.memberId),
        skips: answer.skipAssignment,
        members: answer.members.map((it) => [this.shown(it.memberId), it.groupInstanceId, text(it.metadata)]).sort(),
      };
    }

    async join(memberId, options) {
      return await this.joined(this.sendJoin(memberId, options));
    }

    sendSync(memberId, generationId, assignments = {}, options = {}) {
      this.wire.write(this.wire.request(SyncGroup, 5, {
        groupId: options.group ?? this.group,
        ...{ generationId, memberId, groupInstanceId: options.instanceId ?? null },
        protocolType: options.protocolType ?? "consumer",
        protocolName: options.protocolName ?? "range",
        assignments: Object.entries(assignments).map(([id, what]) => ({ memberId: id, assignment: Buffer.from(what) })),
      }));
    }

    async synced() {
      const answer = await this.wire.answer(SyncGroup, 5);
      return [answer.errorCode, answer.protocolType, answer.protocolName, text(answer.assignment)];
    }

    async sync(...args) {
      this.sendSync(...args);
      return await this.synced();
    }

    async beat(memberId, generationId, groupInstanceId = null, groupId = this.group) {
      return (await this.wire.ask(Heartbeat, 4, { groupId, generationId, memberId, groupInstanceId })).errorCode;
    }

    async leave(members, version = 4, groupId = this.group) {
      const answer = await this.wire.ask(LeaveGroup, version, { groupId, members });
      return [
        answer.errorCode,
        answer.members.map((it) => [this.shown(it.memberId), it.groupInstanceId, it.errorCode]),
      ];
    }

    async commit(offset, options = {}) {
      const { generation = -1, group = this.group, instanceId = null, memberId = "", metadata = "note" } = options;
      const { partition = 0, topic = "transactions" } = options;
      const partitions = [{ partitionIndex: partition, committedOffset: offset, committedMetadata: metadata }];
      const answer = await this.wire.ask(OffsetCommit, 8, {
        ...{ groupId: group, generationIdOrMemberEpoch: generation, memberId, groupInstanceId: instanceId },
        topics: [{ name: topic, partitions }],
      });
      return answer.topics[0].partitions[0].errorCode;
    }

    async describe(groups = [this.group], version = 5) {
      const answer = await this.wire.ask(DescribeGroups, version, { groups });
      return answer.groups.sort(byGroup).map((it) => ({
        ...{ error: it.errorCode, state: it.groupState, type: it.protocolType, protocol: it.protocolData },
        members: it.members.map((member) => [
          this.shown(member.memberId),
          member.groupInstanceId,
          member.clientId,
          text(member.memberMetadata),
          text(member.memberAssignment),
        ]).sort(),
      }));
    }
  }

  /** A group with one member that leads it. */
  async function settled(wires, group) {
    const member = await Member.start(wires, group);
    await member.join("");
    const { generation } = await member.join(member.id);
    const synced = await member.sync(member.id, generation, { [member.id]: "all" });
    return { member, generation, synced };
  }

  return [
    {
      name: "groups: a group of one, and what others are told",
      run: async ({ wires }) => {
        const member = await Member.start(wires, "one");
        const seen = { first: await member.join(""), stranger: await member.join("stranger") };
        const first = [...member.names.keys()][0];
        seen.joined = await member.join(first);
        seen.early = [await member.beat(first, 1), await member.commit(1n, { generation: 1, memberId: first })];
        seen.again = await member.join(first);
        seen.synced = [await member.sync(first, 1, { [first]: "all" }), await member.sync(first, 1)];
        seen.beats = [await member.beat(first, 1), await member.beat(first, 2), await member.beat("stranger", 1)];
        seen.beats.push(await member.beat(first, 1, "instance"), await member.beat(first, 1, null, "one-unknown"));
        seen.beats.push(await member.beat("", 1), await member.beat(first, 1, null, ""));
        seen.syncs = [await member.sync(first, 2), await member.sync("stranger", 1)];
        seen.syncs.push(await member.sync(first, 1, {}, { protocolName: "other" }));
        seen.syncs.push(await member.sync(first, 1, {}, { protocolType: "other" }));
        seen.syncs.push(await member.sync(first, 1, {}, { group: "one-unknown" }));
        seen.joins = [
          await member.join("stranger"),
          await member.join("", { protocols: [["other", ""]] }),
          await member.join("", { protocolType: "connect" }),
          await member.join("", { protocols: [] }),
          await member.join("", { sessionTimeoutMs: 5999 }),
          await member.join("", { sessionTimeoutMs: 1_800_001 }),
          await member.join("stranger", { group: "one-unknown" }),
          await member.join("", { group: "" }),
        ];
        seen.described = await member.describe(["one", "one-unknown"]);
        seen.left = [await member.leave([{ memberId: first }, { memberId: "stranger" }]), await member.beat(first, 1)];
        seen.unknown = await member.leave([{ memberId: "stranger" }], 4, "one-unknown");
        seen.after = await member.describe();
        return seen;
      },
    },
    {
      name: "groups: old versions get an id at once, and no type",
      run: async ({ wires }) => {
        const member = await Member.start(wires, "old");
        const seen = [];
        for (const version of [2, 3]) {
          seen.push(await member.join("", { version }));
          await member.sync(member.id, 1);
          const { errorCode } = await member.wire.ask(LeaveGroup, 2, { groupId: "old", memberId: member.id });
          seen.push(errorCode, (await member.wire.ask(LeaveGroup, 2, { groupId: "old", memberId: "x" })).errorCode);
        }
        return seen;
      },
    },
    {
      name: "groups: a second member comes and goes",
      run: async ({ wires }) => {
        const { member, generation, synced } = await settled(wires, "two");
        const other = await Member.start(wires, "two", member.names);
        const seen = { synced, generation };
        const leader = member.id;
        await other.join("");
        const follower = other.id;
        other.sendJoin(follower);
        await sleep(200);
        seen.waiting = [await member.beat(leader, 1), await member.commit(3n, { generation: 1, memberId: leader })];
        seen.sync = await member.sync(leader, 1);
        seen.state = (await member.describe())[0].state;
        seen.joined = [await member.join(leader), await other.joined()];
        other.sendSync(follower, 2);
        await sleep(100);
        seen.completing = [await member.beat(leader, 2), await member.commit(4n, { generation: 2, memberId: leader })];
        seen.assigned = [await member.sync(leader, 2, { [leader]: "one", [follower]: "two" }), await other.synced()];
        seen.described = await member.describe();
        seen.same = await other.join(follower);
        seen.left = await other.leave([{ memberId: follower }]);
        seen.after = [await member.beat(leader, 2), await member.join(leader)];
        seen.cancelled = await member.leave([{ memberId: leader }]);
        return seen;
      },
    },
    {
      name: "groups: a static member comes back, by old versions and by new ones",
      run: async ({ wires }) => {
        const member = await Member.start(wires, "static");
        const seen = { joined: await member.join("", { instanceId: "a" }) };
        const first = member.id;
        seen.synced = await member.sync(first, 1, { [first]: "all" }, { instanceId: "a" });
        seen.again = await member.join("", { instanceId: "a" });
        const second = member.id;
        seen.fenced = [
          await member.beat(first, 1, "a"),
          await member.beat(second, 1, "a"),
          await member.beat(second, 1),
        ];
        seen.sync = [
          await member.sync(second, 1, {}, { instanceId: "a" }),
          await member.sync(first, 1, {}, { instanceId: "a" }),
        ];
        seen.old = await member.join("", { instanceId: "a", version: 8 });
        const third = member.id;
        seen.commits = [
          await member.commit(1n, { generation: 1, memberId: third, instanceId: "a" }),
          await member.commit(1n, { generation: 1, memberId: first, instanceId: "a" }),
          await member.commit(1n, { generation: 1, memberId: third, instanceId: "b" }),
        ];
        seen.stranger = await member.join(first, { instanceId: "a" });
        seen.left = await member.leave([
          { memberId: first, groupInstanceId: "a" },
          { memberId: "", groupInstanceId: "b" },
          { memberId: "", groupInstanceId: "a" },
        ]);
        return seen;
      },
    },
    {
      name: "groups: who may commit offsets, and what is fetched",
      run: async ({ wires }) => {
        const { member } = await settled(wires, "commits");
        const { id } = member;
        const seen = [
          await member.commit(5n, { generation: 1, memberId: id }),
          await member.commit(6n, { generation: 0, memberId: id }),
          await member.commit(6n, { generation: 1, memberId: "stranger" }),
          await member.commit(6n, { memberId: id }),
          await member.commit(6n),
          await member.commit(6n, { generation: 1, memberId: id, topic: "nowhere" }),
          await member.commit(6n, { generation: 1, memberId: id, partition: 9 }),
          await member.commit(6n, { generation: 1, memberId: id, metadata: "x".repeat(4097) }),
          await member.commit(6n, { group: "commits-unknown", generation: 1, memberId: id }),
          await member.commit(7n, { group: "commits-alone" }),
          await member.commit(7n, { group: "" }),
        ];
        const topics = [{ name: "transactions", partitionIndexes: [0, 1, 9] }, {
          name: "nowhere",
          partitionIndexes: [0],
        }];
        const shown = (all) =>
          all.map((it) => [
            it.name,
            it.partitions.map((each) => [each.partitionIndex, each.errorCode, each.committedOffset, each.metadata])
              .sort(),
          ]).sort();
        for (const version of [1, 2, 7]) {
          const answer = await member.wire.ask(OffsetFetch, version, { groupId: "commits", topics });
          seen.push([answer.errorCode, shown(answer.topics)]);
        }
        const groups = ["commits", "commits-alone", "commits-unknown", ""].map((groupId) => ({
          groupId,
          topics: null,
        }));
        const answer = await member.wire.ask(OffsetFetch, 8, { groups });
        seen.push(answer.groups.map((it) => [it.groupId, it.errorCode, shown(it.topics)]).sort());
        return seen;
      },
    },
    {
      name: "groups: listed, described and deleted",
      run: async ({ wires }) => {
        const { member } = await settled(wires, "listed");
        await member.commit(1n, { group: "listed-alone" });
        const list = async (version, body) =>
          (await member.wire.ask(ListGroups, version, body)).groups
            .filter(({ groupId }) => groupId.startsWith("listed"))
            .map((it) => [it.groupId, it.protocolType, it.groupState, it.groupType]).sort();
        const seen = [await list(2, {}), await list(4, {}), await list(4, { statesFilter: ["Stable"] })];
        seen.push(await list(4, { statesFilter: ["empty", "dead"] }));
        seen.push(await list(5, { typesFilter: ["classic"] }), await list(5, { typesFilter: ["consumer"] }));
        seen.push(await member.describe(["listed", "listed-alone", "listed-unknown"]));
        const remove = async () => {
          const { results } = await member.wire.ask(DeleteGroups, 2, {
            groupsNames: ["listed", "listed-alone", "listed-unknown", ""],
          });
          return results.map(({ errorCode, groupId }) => [groupId, errorCode]).sort();
        };
        seen.push(await remove());
        await member.leave([{ memberId: member.id }]);
        seen.push(await list(4, { statesFilter: ["Empty"] }), await remove());
        return seen;
      },
    },
    {
      name: "groups: the newest DescribeGroups names groups that there are not",
      releases: ["4.1.1", "4.4.0"],
      run: async ({ wires }) => {
        const member = await Member.start(wires, "newest");
        return await member.describe(["newest-unknown"], 6);
      },
    },
    {
      name: "groups: the protocol of KIP-848 knows no group of the classic one",
      releases: ["4.1.1", "4.4.0"],
      run: async ({ wires }) => {
        const { member } = await settled(wires, "older");
        const seen = [];
        for (const version of [0, 1]) {
          const groupIds = ["older", "older-unknown", ""];
          const { groups } = await member.wire.ask(ConsumerGroupDescribe, version, { groupIds });
          seen.push(
            groups.map((it) => [it.groupId, it.errorCode, it.errorMessage, it.groupState, it.members.length]).sort(),
          );
        }
        return seen;
      },
    },
    {
      name: "OffsetForLeaderEpoch: epochs that were, are and will be",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const leaderEpoch of [0, 5, -1]) {
          for (const currentLeaderEpoch of [-1, 0, 9]) {
            const partitions = [{ partition: 0, currentLeaderEpoch, leaderEpoch }];
            const answer = await wire.ask(OffsetForLeaderEpoch, 4, { topics: [{ topic: "demanding", partitions }] });
            const it = answer.topics[0].partitions[0];
            seen.push([it.errorCode, it.leaderEpoch, it.endOffset]);
          }
        }
        const partitions = [{ partition: 9, leaderEpoch: 0 }];
        const answer = await wire.ask(OffsetForLeaderEpoch, 4, { topics: [{ topic: "demanding", partitions }] });
        seen.push(answer.topics[0].partitions[0].errorCode);
        return seen;
      },
    },
  ];
}
