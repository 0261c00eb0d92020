/** Calls of members of a group in a random order, right and wrong ones. */
import { randomOf } from "./probes_kit.mjs";
import { silence } from "./probes_wire.mjs";

const walkSeeds = [1, 2, 3];
const walkSteps = 40;
/** How many connections the members share; each waits for one answer at most. */
const slotCount = 4;
/** What comes without being waited for, such as the answer to another member, has come by then. */
const settledMs = 100;
/** An answer that is due has come by then, also from a JVM that has just been started on a busy machine. */
const dueMs = 5_000;

/** Makes the probes. */
export function groupWalksProbes(
  {
    CreateTopics,
    DeleteGroups,
    DeleteTopics,
    DescribeGroups,
    FindCoordinator,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    ListGroups,
    OffsetCommit,
    OffsetDelete,
    OffsetFetch,
    SyncGroup,
  },
) {
  const sleep = (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs));
  const text = (bytes) => Buffer.from(bytes).toString("latin1").replace(/[^ -~]/g, ".");

  class Walk {
    constructor(wires, seed, name = seed) {
      this.wires = wires;
      this.random = randomOf(seed);
      this.group = `walk-${name}`;
      this.topic = `walk-topic-${name}`;
      this.slots = [];
      this.names = new Map([["", "nobody"], ["stranger", "stranger"]]);
      /** Who leads when the leader goes is a matter of a hash table's order. */
      this.leaders = new Set();
      this.generation = 0;
      this.members = [];
      this.seen = [];
    }

    pick(list) {
      return list[Math.floor(this.random() * list.length)];
    }

    shown(id) {
      if (!this.names.has(id)) this.names.set(id, `member ${this.names.size - 1}`);
      return this.names.get(id);
    }

    /** An id: mostly that of somebody who is in the group. */
    anId(slot) {
      const ids = [...this.names.keys()];
      const roll = this.random();
      if (roll < 0.5 && slot.id !== undefined) return slot.id;
      if (roll < 0.8 && this.members.length > 0) return this.pick(this.members).memberId;
      return this.pick(ids);
    }

    anInstance(id) {
      const member = this.members.find(({ memberId }) => memberId === id);
      const roll = this.random();
      if (roll < 0.75) return member?.groupInstanceId ?? null;
      return this.pick([null, null, "a", "b", ""]);
    }

    aGeneration() {
      const { generation } = this;
      return this.pick([generation, generation, generation, generation, generation - 1, generation + 1, -1]);
    }

    /** What a member says of itself: which topic it reads, or what nobody understands. */
    metadataOf(what) {
      if (what === "x") return Buffer.from("x");
      const topic = what === "a" ? this.topic : "another";
      return Buffer.concat([
        Buffer.of(0, 0, 0, 0, 0, 1, 0, topic.length),
        Buffer.from(topic),
        Buffer.of(255, 255, 255, 255),
      ]);
    }

    async start() {
      this.control = await this.wires.open();
      for (let i = 0; i < slotCount; i++) this.slots.push({ at: i, wire: await this.wires.open() });
      for (let code = 15; code !== 0;) {
        code = (await this.control.ask(FindCoordinator, 3, { key: this.group, keyType: 0 })).errorCode;
        if (code === 0) {
          code = (await this.control.ask(OffsetFetch, 7, { groupId: this.group, topics: [] })).errorCode;
        }
        if (code !== 0) await sleep(50);
      }
      await this.create();
    }

    send(slot, what, api, version, body, show) {
      slot.wire.write(slot.wire.request(api, version, body));
      slot.waits = { api, version, show };
      return `${slot.at}: ${what}`;
    }

    /** Takes what has come, and waits for what must come. */
    async gather() {
      const found = [];
      const giveUpAt = performance.now() + dueMs;
      do {
        await sleep(settledMs);
        await this.take(found);
      } while (await this.isDue() && performance.now() < giveUpAt);
      return found.sort();
    }

    /** Whether somebody waits who has no reason to: a group keeps those who join or sync until all have. */
    async isDue() {
      const waiting = this.slots.filter(({ waits }) => waits !== undefined);
      if (waiting.length === 0) return false;
      const { groups: [{ groupState }] } = await this.control.ask(DescribeGroups, 5, { groups: [this.group] });
      const reasons = new Map([[JoinGroup, "PreparingRebalance"], [SyncGroup, "CompletingRebalance"]]);
      return waiting.some(({ waits: { api } }) => reasons.get(api) !== groupState);
    }

    async take(found) {
      for (const slot of this.slots) {
        if (slot.waits === undefined) continue;
        const { api, show, version } = slot.waits;
        const answer = await slot.wire.answer(api, version, 0);
        if (answer === silence) continue;
        slot.waits = undefined;
        if (typeof answer !== "string") found.push(`${slot.at}: ${JSON.stringify(show(answer))}`);
        else {
          found.push(`${slot.at}: ${answer}`);
          slot.wire = await this.wires.open();
        }
      }
    }

    steps = {
      join: (slot) => {
        const memberId = this.pick([true, true, false]) ? slot.id ?? "" : this.anId(slot);
        const version = this.pick([9, 9, 9, 8, 7, 5, 4, 3, 2]);
        const known = this.anInstance(memberId);
        const instanceId = version < 5 ? null : memberId === "" ? this.pick([null, null, null, "a", "b"]) : known;
        const protocols = this.pick([
          [["range", "a"]],
          [["range", "a"]],
          [["range", "a"]],
          [["range", "b"]],
          [["range", "a"], ["roundrobin", "a"]],
          // In the same order as above: of two with as many votes Kafka 4 takes the one that its hash table has first.
          [["range", "b"], ["roundrobin", "x"]],
          [["roundrobin", "x"]],
          [],
        ]);
        const protocolType = this.pick([..."c".repeat(12)]) && this.random() < 0.95 ? "consumer" : this.pick(["", "x"]);
        const sessionTimeoutMs = this.random() < 0.95 ? 30_000 : this.pick([0, 5999, 6000, 1_800_001, -1]);
        const body = {
          ...{ groupId: this.group, sessionTimeoutMs, rebalanceTimeoutMs: 60_000, memberId, protocolType },
          ...(version < 5 ? {} : { groupInstanceId: instanceId }),
          protocols: protocols.map(([name, metadata]) => ({ name, metadata: this.metadataOf(metadata) })),
        };
        const what = `join ${version} as ${this.shown(memberId)} ${instanceId} ${protocolType} ${sessionTimeoutMs} ${
          JSON.stringify(protocols)
        }`;
        return this.send(slot, what, JoinGroup, version, body, (answer) => {
          if (answer.errorCode === 0 || answer.errorCode === 79) slot.id = answer.memberId;
          if (answer.errorCode === 0) {
            this.generation = answer.generationId;
            this.leaders.add(answer.leader);
            // Whoever takes the place of a leader is one.
            if (instanceId !== null) this.leaders.add(answer.memberId);
          }
          return [
            answer.errorCode,
            answer.generationId,
            answer.protocolType,
            answer.protocolName,
            this.shown(answer.leader),
            this.shown(answer.memberId),
            answer.skipAssignment,
            answer.members.map((it) => [this.shown(it.memberId), it.groupInstanceId, text(it.metadata)]).sort(),
          ];
        });
      },
      sync: (slot) => {
        const memberId = this.anId(slot);
        const generationId = this.aGeneration();
        const version = this.pick([5, 5, 5, 4, 3, 2, 0]);
        const instanceId = this.anInstance(memberId);
        const protocolName = this.pick(["range", "range", "range", "range", null, "roundrobin", "x"]);
        const protocolType = this.pick(["consumer", "consumer", "consumer", null, "x"]);
        const isLeader = this.leaders.has(memberId) || this.random() < 0.1;
        const assignments = isLeader
          ? this.members.map((it) => ({ memberId: it.memberId, assignment: Buffer.from(this.shown(it.memberId)) }))
          : [];
        if (this.random() < 0.15) assignments.pop();
        const what = `sync ${version} as ${this.shown(memberId)} ${instanceId} ${generationId} ${protocolType} ` +
          `${protocolName} ${assignments.length}`;
        return this.send(slot, what, SyncGroup, version, {
          ...{ groupId: this.group, generationId, memberId },
          ...(version < 3 ? {} : { groupInstanceId: instanceId }),
          ...(version < 5 ? {} : { protocolType, protocolName }),
          assignments,
        }, (it) => [it.errorCode, it.protocolType, it.protocolName, text(it.assignment)]);
      },
      beat: (slot) => {
        const memberId = this.anId(slot);
        const generationId = this.aGeneration();
        const instanceId = this.anInstance(memberId);
        const version = this.pick([4, 4, 3, 2, 0]);
        const body = {
          ...{ groupId: this.group, generationId, memberId },
          ...(version < 3 ? {} : { groupInstanceId: instanceId }),
        };
        const what = `beat ${version} as ${this.shown(memberId)} ${instanceId} ${generationId}`;
        return this.send(slot, what, Heartbeat, version, body, (it) => it.errorCode);
      },
      leave: (slot) => {
        const version = this.pick([5, 4, 3, 2, 0]);
        const members = Array.from({ length: version < 3 ? 1 : this.pick([1, 1, 1, 2, 0]) }, () => {
          const memberId = this.anId(slot);
          return this.pick([true, true, true, false])
            ? { memberId, groupInstanceId: this.anInstance(memberId) }
            : { memberId: "", groupInstanceId: this.pick(["a", "b", null]) };
        }).filter((it) => {
          const named = this.members.find((member) =>
            member.memberId === it.memberId ||
            (it.groupInstanceId !== null && member.groupInstanceId === it.groupInstanceId)
          );
          return named === undefined || this.members.length <= 2 || !this.leaders.has(named.memberId);
        });
        if (version < 3 && members.length === 0) members.push({ memberId: "stranger", groupInstanceId: null });
        const what = `leave ${version} ` +
          members.map((it) => `${this.shown(it.memberId)} ${it.groupInstanceId}`).join(", ");
        const body = version < 3 ? { memberId: members[0].memberId } : { members };
        return this.send(slot, what, LeaveGroup, version, { groupId: this.group, ...body }, (it) => [
          it.errorCode,
          it.members.map((each) => [this.shown(each.memberId), each.groupInstanceId, each.errorCode]),
        ]);
      },
      commit: (slot) => {
        const isAlone = this.random() < 0.2;
        const memberId = isAlone ? "" : this.anId(slot);
        const generation = isAlone ? -1 : this.aGeneration();
        const instanceId = this.anInstance(memberId);
        const version = this.pick([9, 9, 8, 7, 6, 5, 3, 2]);
        const offset = BigInt(this.pick([0, 1, 5, 100, 7, -1, -2, -5]));
        const partition = this.pick([0, 0, 1, 2, -1]);
        const epoch = this.pick([-1, -1, 0, 3, -2]);
        // A group that such a commit makes is shown by Kafka 4 only when something of it is written down.
        const long = this.isThere ? "x".repeat(4097) : "long";
        const metadata = this.pick(["note", "note", "", null, long]);
        const body = {
          ...{ groupId: this.group, generationIdOrMemberEpoch: generation, memberId },
          ...(version < 7 ? {} : { groupInstanceId: instanceId }),
          topics: [{
            name: this.topic,
            partitions: [{
              ...{ partitionIndex: partition, committedOffset: offset, committedMetadata: metadata },
              ...(version < 6 ? {} : { committedLeaderEpoch: epoch }),
            }],
          }],
        };
        const what =
          `commit ${version} as ${this.shown(memberId)} ${instanceId} ${generation}: ${partition} ${offset} ` +
          `${epoch} ${metadata?.length}`;
        return this.send(slot, what, OffsetCommit, version, body, (it) =>
          it.topics.map(({ name, partitions }) => [
            name === this.topic,
            partitions.map((each) => [each.partitionIndex, each.errorCode]),
          ]));
      },
      remove: (slot) =>
        this.send(slot, "delete the group", DeleteGroups, this.pick([2, 1, 0]), {
          groupsNames: [this.group],
        }, (it) => it.results.map((each) => each.errorCode)),
      forget: (slot) => {
        const partitions = this.pick([[0], [1], [0, 1], [9]]).map((partitionIndex) => ({ partitionIndex }));
        const body = { groupId: this.group, topics: [{ name: this.topic, partitions }] };
        return this.send(slot, `delete offsets ${JSON.stringify(partitions)}`, OffsetDelete, 0, body, (it) => [
          it.errorCode,
          it.topics.map((each) => each.partitions.map((one) => [one.partitionIndex, one.errorCode])),
        ]);
      },
      topic: async () => {
        if (this.isCreated) await this.drop();
        else await this.create();
        return this.isCreated ? "create the topic" : "delete the topic";
      },
    };

    async create() {
      const topics = [{ name: this.topic, numPartitions: 2, replicationFactor: 1 }];
      await this.control.ask(CreateTopics, 7, { topics, timeoutMs: 5000 }, { withinMs: 10_000 });
      this.isCreated = true;
      await sleep(150);
    }

    async drop() {
      const topics = [{ name: this.topic, topicId: "0".repeat(32) }];
      await this.control.ask(DeleteTopics, 6, { topics, timeoutMs: 5000 }, { withinMs: 10_000 });
      this.isCreated = false;
      await sleep(150);
    }

    /** What an onlooker sees: who is in the group, and its offsets. */
    async state() {
      const { groups: [group] } = await this.control.ask(DescribeGroups, 5, { groups: [this.group] });
      this.members = group.members.sort((a, b) => order(this.shown(a.memberId), this.shown(b.memberId)));
      this.isThere = group.groupState !== "Dead";
      const members = this.members.map((it) =>
        [this.shown(it.memberId), it.groupInstanceId, text(it.memberMetadata), text(it.memberAssignment)].join(" ")
      );
      const { groups: listed } = await this.control.ask(ListGroups, 5, {});
      const [itself] = listed.filter(({ groupId }) => groupId === this.group)
        .map((it) => [it.protocolType, it.groupState, it.groupType].join(" "));
      const version = this.pick([8, 7, 5, 2]);
      const asked = version < 8 ? { groupId: this.group, topics: null } : {
        groups: [{ groupId: this.group, topics: null }],
      };
      const answer = await this.control.ask(OffsetFetch, version, asked);
      const offsets = (version < 8 ? answer : answer.groups[0]).topics.flatMap(({ partitions }) =>
        partitions.map((it) =>
          [
            it.partitionIndex,
            it.errorCode,
            it.committedOffset,
            version < 5 ? "" : it.committedLeaderEpoch,
            it.metadata,
          ].join(" ")
        )
      ).sort();
      return [
        [group.errorCode, group.groupState, group.protocolType, group.protocolData, itself].join(" "),
        members.join("; "),
        offsets.join("; "),
      ];
    }

    async step() {
      const free = this.slots.filter(({ waits }) => waits === undefined);
      const names = [
        ..."join join join join join sync sync sync sync beat beat leave commit commit commit".split(" "),
        ..."remove forget topic".split(" "),
      ];
      if (free.length === 0) return await this.letGo();
      const slot = this.pick(free);
      const what = await this.steps[this.pick(names)](slot);
      const found = await this.gather();
      this.seen.push([what, found.join(" + "), ...await this.state()].join(" | "));
    }

    /** All wait for each other: a member leaves. */
    async letGo() {
      const members = this.members.filter(({ memberId }) => !this.leaders.has(memberId));
      const { memberId } = members.length > 0 ? this.pick(members) : this.members[0] ?? { memberId: "" };
      const version = 3;
      await this.control.ask(LeaveGroup, version, {
        groupId: this.group,
        members: [{ memberId, groupInstanceId: null }],
      });
      const found = await this.gather();
      if (found.length === 0) {
        for (const slot of this.slots) {
          slot.wire.close();
          slot.wire = await this.wires.open();
          slot.waits = undefined;
        }
      }
      this.seen.push([`let ${this.shown(memberId)} go`, found.join(" + "), ...await this.state()].join(" | "));
    }
  }

  return walkSeeds.map((seed) => ({
    name: `groups: a random walk of calls, seed ${seed}`,
    run: async ({ wires }) => {
      const walk = new Walk(wires, seed);
      await walk.start();
      for (let i = 0; i < walkSteps; i++) await walk.step();
      return walk.seen;
    },
    /** For looking further: another seed, as many steps as wanted, under names of their own. */
    walk: async (wires, other, steps, base) => {
      const walk = new Walk(wires, other, `${base}-${other}`);
      await walk.start();
      for (let i = 0; i < steps; i++) await walk.step();
      return walk.seen;
    },
  }));
}

function order(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
