/** What is asked about transactions, of the coordinator, of the leaders and of what a reader sees. */
import { randomOf } from "./probes_kit.mjs";

/** Of the walks; 7 has found something. With others it may be looked for more. */
const walkSeeds = [1, 7];
const walkSteps = 30;

/** Makes the probes. */
export function transactionsProbes(
  {
    AddOffsetsToTxn,
    AddPartitionsToTxn,
    ApiVersions,
    DescribeProducers,
    DescribeTransactions,
    EndTxn,
    Fetch,
    FindCoordinator,
    InitProducerId,
    ListOffsets,
    OffsetFetch,
    Produce,
    TxnOffsetCommit,
    batchOf,
    endOf,
    now,
  },
) {
  const version2 = ["4.1.1", "4.4.0"];
  const sleep = (durationMs) => new Promise((resolve) => setTimeout(resolve, durationMs));

  /** Asks again while the coordinator is being found, or has something to finish. */
  /** @param {unknown[]} [codes] */
  async function until(ask, codeOf, codes = [14, 15, 16, 51]) {
    for (let i = 0; i < 400; i++) {
      const answer = await ask();
      if (!codes.includes(codeOf(answer))) return answer;
      await sleep(20);
    }
    throw new Error("The coordinator never finished");
  }

  /** A producer of a transactional id that says what it is told to say, right or wrong. */
  class Client {
    constructor(wire, id, topic) {
      this.wire = wire;
      this.id = id;
      this.topic = topic;
      this.pid = -1n;
      this.epoch = -1;
      this.firstPid = undefined;
      this.firstEpoch = undefined;
    }

    static async start(wires, id, topic = "transactions") {
      const client = new Client(await wires.open(), id, topic);
      const find = () => client.wire.ask(FindCoordinator, 3, { key: id, keyType: 1 });
      await until(find, ({ errorCode }) => errorCode);
      await client.init();
      return client;
    }

    /** Ids are other ones on each broker: what counts is whether it is the first one, and how far the epoch went. */
    shown({ errorCode, producerEpoch, producerId }) {
      if (errorCode !== 0) return errorCode;
      if (producerId < 0n) return [0];
      this.firstPid ??= producerId;
      this.firstEpoch ??= producerEpoch;
      return [0, producerId === this.firstPid ? "same id" : "new id", producerEpoch - this.firstEpoch];
    }

    async askInit({ pid = -1n, epoch = -1, timeoutMs = 60_000, version = 4 } = {}) {
      return await this.wire.ask(InitProducerId, version, {
        transactionalId: this.id,
        transactionTimeoutMs: timeoutMs,
        producerId: pid,
        producerEpoch: epoch,
      });
    }

    async init(options) {
      const answer = await until(() => this.askInit(options), ({ errorCode }) => errorCode);
      if (answer.errorCode === 0) {
        this.pid = answer.producerId;
        this.epoch = answer.producerEpoch;
      }
      return this.shown(answer);
    }

    async add(partitions, { version = 3, epoch = this.epoch, pid = this.pid, topic = this.topic, id = this.id } = {}) {
      const ask = () =>
        this.wire.ask(AddPartitionsToTxn, version, {
          v3AndBelowTransactionalId: id,
          v3AndBelowProducerId: pid,
          v3AndBelowProducerEpoch: epoch,
          v3AndBelowTopics: [{ name: topic, partitions }],
        });
      const codesOf = ({ resultsByTopicV3AndBelow: [first] }) =>
        first.resultsByPartition.map((it) => [it.partitionIndex, it.partitionErrorCode]).sort();
      return codesOf(await until(ask, (answer) => codesOf(answer)[0][1]));
    }

    async askProduce(
      partition,
      sequence,
      /** @type {Record<string, any>} */ { version = 11, epoch = this.epoch, pid = this.pid, ...rest } = {},
    ) {
      const { attributes = 0x10, id = this.id, ...batch } = rest;
      const records = batchOf({
        ...{ attributes, producerId: pid, epoch, sequence, baseTimestamp: now(), records: [{ value: "v" }] },
        ...batch,
      });
      const topicData = [{ name: this.topic, partitionData: [{ index: partition, records }] }];
      const answer = await this.wire.ask(Produce, version, {
        transactionalId: id,
        acks: -1,
        timeoutMs: 1000,
        topicData,
      });
      return answer.responses[0].partitionResponses[0].errorCode;
    }

    async produce(partition, sequence, options) {
      return await until(() => this.askProduce(partition, sequence, options), (code) => code, [51]);
    }

    async addOffsets(groupId, /** @type {Record<string, any>} */ { version = 3, ...rest } = {}) {
      const { epoch = this.epoch, pid = this.pid } = rest;
      const ask = () =>
        this.wire.ask(AddOffsetsToTxn, version, {
          ...{ transactionalId: this.id, producerId: pid, producerEpoch: epoch, groupId },
        });
      return (await until(ask, ({ errorCode }) => errorCode)).errorCode;
    }

    async commitOffsets(
      groupId,
      offset,
      /** @type {Record<string, any>} */ { version = 4, partition = 0, generation = -1, memberId = "", ...rest } = {},
    ) {
      const { epoch = this.epoch, instanceId = null, pid = this.pid } = rest;
      const ask = () =>
        this.wire.ask(TxnOffsetCommit, version, {
          ...{ transactionalId: this.id, groupId, producerId: pid, producerEpoch: epoch },
          ...(version < 3 ? {} : { generationIdOrMemberEpoch: generation, memberId, groupInstanceId: instanceId }),
          topics: [{
            name: this.topic,
            partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: "" }],
          }],
        });
      const codeOf = (answer) => answer.topics[0].partitions[0].errorCode;
      return codeOf(await until(ask, codeOf));
    }

    async offsets(groupId, requireStable = false) {
      const topics = [{ name: this.topic, partitionIndexes: [0, 1] }];
      const answer = await this.wire.ask(OffsetFetch, 7, { groupId, topics, requireStable });
      const partitions = answer.topics.flatMap(({ partitions }) => partitions);
      return partitions.map((it) => [it.partitionIndex, it.errorCode, it.committedOffset]).sort();
    }

    async askEnd(committed, { version = 4, epoch = this.epoch, pid = this.pid, id = this.id } = {}) {
      return await this.wire.ask(EndTxn, version, {
        ...{ transactionalId: id, producerId: pid, producerEpoch: epoch, committed },
      });
    }

    /** Ends the transaction, as often as it takes, and adopts what it is told. */
    async end(committed, options) {
      const answer = await until(() => this.askEnd(committed, options), ({ errorCode }) => errorCode);
      if (answer.errorCode === 0 && answer.producerId >= 0n) {
        this.pid = answer.producerId;
        this.epoch = answer.producerEpoch;
      }
      return this.shown(answer);
    }

    /** The same without adopting. */
    async try(committed, options) {
      return this.shown(await until(() => this.askEnd(committed, options), ({ errorCode }) => errorCode));
    }

    /** Opens a transaction with a record in partition 0. */
    async begin(sequence = 0, version = 12) {
      if (version < 12) await this.add([0]);
      return await this.produce(0, sequence, { version });
    }

    /** Where it stands when its markers are written. */
    async state() {
      const ask = () => this.wire.ask(DescribeTransactions, 0, { transactionalIds: [this.id] });
      const stateOf = ({ transactionStates: [it] }) => it.transactionState;
      const { transactionStates: [it] } = await until(ask, stateOf, ["PrepareCommit", "PrepareAbort"]);
      const topics = it.topics.map(({ partitions, topic }) => [
        topic,
        topic.startsWith("__") ? partitions.length : [...partitions].sort(),
      ]).sort();
      return [it.errorCode, it.transactionState, it.transactionTimeoutMs, topics];
    }

    async markersOf(partition) {
      await this.state();
      const topics = [{ name: this.topic, partitionIndexes: [partition] }];
      const { topics: [topic] } = await this.wire.ask(DescribeProducers, 0, { topics });
      const it = topic.partitions[0].activeProducers.find(({ producerId }) => producerId === this.pid);
      return it && [it.producerEpoch - this.firstEpoch, it.lastSequence, it.currentTxnStartOffset >= 0n];
    }

    async read(fetchOffset, isolationLevel, partition = 0) {
      const topics = [{ topic: this.topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: 1_000_000 }] }];
      const answer = await this.wire.ask(Fetch, 11, {
        ...{ replicaId: -1, maxWaitMs: 50, minBytes: 1, maxBytes: 1_000_000, isolationLevel, topics },
      });
      const body = answer.responses[0].partitions[0];
      return {
        error: body.errorCode,
        watermark: body.highWatermark,
        stable: body.lastStableOffset,
        aborted: body.abortedTransactions?.map((it) => [it.producerId === this.pid, it.firstOffset]) ?? "none",
        batches: batchesIn(body.records, this),
      };
    }
  }

  function batchesIn(records, { firstEpoch, firstPid }) {
    const bytes = Buffer.from(records ?? []);
    const seen = [];
    for (let at = 0; at + 61 <= bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
      const attributes = bytes.readInt16BE(at + 21);
      const isControl = (attributes & 0x20) !== 0;
      const isOwn = bytes.readBigInt64BE(at + 43) === firstPid;
      seen.push({
        offset: bytes.readBigInt64BE(at),
        attributes,
        isOwn,
        epoch: isOwn ? bytes.readInt16BE(at + 51) - firstEpoch : "other",
        sequence: bytes.readInt32BE(at + 53),
        count: bytes.readInt32BE(at + 57),
        // All of the record but the coordinator's epoch.
        ...(isControl ? { record: [...bytes.subarray(at + 61, at + 12 + bytes.readInt32BE(at + 8))].join(" ") } : {}),
      });
    }
    return seen;
  }

  const latest = async (client, isolationLevel) => {
    const topics = [{ name: client.topic, partitions: [{ partitionIndex: 0, timestamp: -1n }] }];
    const answer = await client.wire.ask(ListOffsets, 5, { replicaId: -1, isolationLevel, topics });
    return answer.topics[0].partitions[0].offset;
  };

  /**
   * Calls in a random order, of a producer and of those that it was before, right and wrong ones. What differs once is
   * followed by other differences: the first one counts.
   */
  async function walk(wires, seed, version) {
    const random = randomOf(seed);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const client = await Client.start(wires, `walk-${version}-${seed}`, "walks");
    const from = [await endOf(client.wire, "walks", 0), await endOf(client.wire, "walks", 1)].map(([, end]) => end);
    const group = `walk-group-${version}-${seed}`;
    await until(() => client.wire.ask(FindCoordinator, 3, { key: group, keyType: 0 }), ({ errorCode }) => errorCode);
    /** Who the producer was, by id and epoch; the last one is who it is. */
    const known = [{ pid: client.pid, epoch: client.epoch }];
    const nexts = new Map();
    const steps = {
      async init() {
        const { pid, epoch } = pick([...known, { pid: -1n, epoch: -1 }, known.at(-1)]);
        const by = pick([3, 4]);
        const answer = await until(() => client.askInit({ pid, epoch, version: by }), ({ errorCode }) => errorCode);
        learn(answer);
        return [`init ${by} as ${shownId(pid, epoch)}`, client.shown(answer)];
      },
      async add() {
        const { pid, epoch } = identity();
        const partitions = pick([[0], [1], [0, 1]]);
        return [`add ${partitions} as ${shownId(pid, epoch)}`, await client.add(partitions, { pid, epoch })];
      },
      async produce() {
        const { pid, epoch } = identity();
        const partition = pick([0, 0, 1]);
        const key = `${pid} ${epoch} ${partition}`;
        const sequence = pick([nexts.get(key) ?? 0, nexts.get(key) ?? 0, nexts.get(key) ?? 0, 0, 1, 7]);
        const by = version === 2 ? pick([12, 12, 12, 11]) : pick([11, 10]);
        const code = await client.produce(partition, sequence, { pid, epoch, version: by });
        if (code === 0) nexts.set(key, sequence + 1);
        return [`produce ${by} ${partition} ${sequence} as ${shownId(pid, epoch)}`, code];
      },
      async offsets() {
        const { pid, epoch } = identity();
        return [`offsets as ${shownId(pid, epoch)}`, await client.addOffsets(group, { pid, epoch })];
      },
      async commitOffsets() {
        const { pid, epoch } = identity();
        const by = version === 2 ? pick([5, 5, 4]) : pick([4, 3]);
        const code = await client.commitOffsets(group, BigInt(Math.floor(random() * 100)), { pid, epoch, version: by });
        return [`commit offsets ${by} as ${shownId(pid, epoch)}`, code, await client.offsets(group)];
      },
      async end() {
        const { pid, epoch } = identity();
        const by = version === 2 ? pick([5, 5, 5, 4]) : pick([4, 3]);
        const committed = random() < 0.5;
        const answer = await until(() => client.askEnd(committed, { pid, epoch, version: by }), (it) => it.errorCode);
        if (answer.errorCode === 0) learn(answer);
        return [`end ${by} ${committed} as ${shownId(pid, epoch)}`, client.shown(answer)];
      },
    };
    const identity = () => {
      const last = known.at(-1);
      return random() < 0.75 ? last : pick([...known, { pid: last.pid, epoch: last.epoch + 1 }]);
    };
    const shownId = (pid, epoch) =>
      pid < 0n ? "nobody" : `${pid === client.firstPid ? "same" : "new"} ${epoch - client.firstEpoch}`;
    function learn({ errorCode, producerEpoch, producerId }) {
      if (errorCode !== 0 || producerId < 0n) return;
      if (!known.some(({ pid, epoch }) => pid === producerId && epoch === producerEpoch)) {
        known.push({ pid: producerId, epoch: producerEpoch });
      }
      [client.pid, client.epoch] = [producerId, producerEpoch];
    }
    const seen = [];
    const names = ["init", "add", "produce", "produce", "produce", "produce", "offsets", "commitOffsets", "end", "end"];
    for (let i = 0; i < walkSteps; i++) {
      const [what, ...found] = await steps[pick(names)]();
      const state = await client.state();
      const ends = [await endOf(client.wire, "walks", 0), await endOf(client.wire, "walks", 1)];
      seen.push(
        [what, ...found, state, ends.map(([, end], at) => Number(end) - Number(from[at]))].map(String).join(" | "),
      );
    }
    seen.push([await client.markersOf(0), await client.markersOf(1)]);
    await until(() => client.askInit(), ({ errorCode }) => errorCode);
    await client.state();
    seen.push(await client.offsets(group, true));
    return seen;
  }

  return [
    ...[version2, ["3.9.1", "4.1.1", "4.4.0"]].flatMap((releases, kind) =>
      walkSeeds.map((seed) => ({
        name: `transactions: a random walk of calls, ${kind === 0 ? "version 2" : "version 1"}, seed ${seed}`,
        releases,
        run: ({ wires }) => walk(wires, seed, kind === 0 ? 2 : 1),
      }))
    ),
    {
      name: "transactions: EndTxn 5 in every state that a producer can be in, of its own epoch and of the one before",
      releases: version2,
      run: async ({ wires }) => {
        const seen = {};
        const both = async (client, options) => [
          await client.try(true, { version: 5, ...options }),
          await client.try(false, { version: 5, ...options }),
        ];
        const fresh = await Client.start(wires, "end-fresh");
        seen.emptyCommit = await fresh.try(true, { version: 5 });
        seen.emptyAbort = await fresh.end(false, { version: 5 });
        seen.afterEmptyAbort = await both(fresh, { epoch: fresh.epoch - 1 });
        for (const isCommit of [true, false]) {
          const client = await Client.start(wires, `end-${isCommit}`);
          await client.begin();
          const { epoch } = client;
          const of = seen[isCommit ? "committed" : "aborted"] = {};
          of.end = await client.end(isCommit, { version: 5 });
          of.retries = [await both(client, { epoch }), await both(client, { epoch })];
          of.current = [await client.try(true, { version: 5 }), await client.state()];
          of.older = await both(client, { epoch: epoch - 1 });
          of.newer = await both(client, { epoch: epoch + 9 });
          of.abort = await client.end(false, { version: 5 });
          of.next = [await client.begin(), await both(client, { epoch }), await client.end(true, { version: 5 })];
        }
        const zombie = await Client.start(wires, "end-taken");
        await zombie.begin();
        const second = await Client.start(wires, "end-taken");
        seen.taken = [second.epoch - zombie.epoch, await both(zombie)];
        seen.foreign = await both(second, { pid: second.pid + 77n });
        seen.unknown = [await both(second, { id: "end-unknown" }), await both(second, { id: "" })];
        return seen;
      },
    },
    {
      name: "transactions: who ends the next one while the markers of the last are being written is not fenced",
      releases: version2,
      run: async ({ wires }) => {
        const client = await Client.start(wires, "end-at-once");
        const seen = [];
        for (let i = 0; i < 10; i++) {
          await client.begin();
          const ends = [[client.epoch, true], [client.epoch + 1, false]];
          for (const [producerEpoch, committed] of ends) {
            const body = { transactionalId: client.id, producerId: client.pid, producerEpoch, committed };
            client.wire.write(client.wire.request(EndTxn, 5, body));
          }
          const codes = [];
          for (const _ of ends) codes.push((await client.wire.answer(EndTxn, 5)).errorCode);
          // 51 from a broker that still writes them, 0 from one that was quicker.
          seen.push(codes[0], [0, 51].includes(codes[1]));
          await client.init();
        }
        return seen;
      },
    },
    {
      name: "transactions: EndTxn 4 in every state, repeated, turned round, and of other epochs",
      run: async ({ wires }) => {
        const seen = {};
        const both = async (client, options) => [await client.try(true, options), await client.try(false, options)];
        const client = await Client.start(wires, "end-1");
        seen.empty = await both(client);
        for (const isCommit of [true, false]) {
          await client.begin(isCommit ? 0 : 1, 11);
          seen[isCommit] = [await client.end(isCommit), await both(client), await client.state()];
          seen[`${isCommit} others`] = [
            await both(client, { epoch: client.epoch + 1 }),
            await both(client, { epoch: client.epoch - 1 }),
            await both(client, { epoch: client.epoch + 1, version: 1 }),
          ];
        }
        seen.foreign = await both(client, { pid: client.pid + 77n });
        seen.unknown = [await both(client, { id: "end-unknown" }), await both(client, { id: "" })];
        return seen;
      },
    },
    {
      name: "transactions: a late EndTxn 4 ends the next transaction, which is why there is version 2",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "late");
        await client.begin(0, 11);
        const first = await client.end(true);
        await client.begin(1, 11);
        return [first, await client.try(true), await client.state()];
      },
    },
    {
      name: "transactions: AddPartitionsToTxn and AddOffsetsToTxn of other ids, epochs and topics",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "add");
        const { epoch, pid } = client;
        return {
          missing: await client.add([0, 7]),
          unknown: await client.add([0], { topic: "nowhere" }),
          state: await client.state(),
          foreign: await client.add([0], { pid: pid + 77n }),
          newer: [await client.add([0], { epoch: epoch + 1 }), await client.add([0], { epoch: epoch + 1, version: 1 })],
          other: [await client.add([0], { id: "add-unknown" }), await client.add([0], { id: "" })],
          good: [await client.add([0, 1]), await client.add([0])],
          offsets: [
            await client.addOffsets("add-group", { epoch: epoch + 1 }),
            await client.addOffsets("add-group", { epoch: epoch + 1, version: 1 }),
            await client.addOffsets("add-group", { pid: pid + 77n }),
            await client.addOffsets("add-group"),
          ],
          after: await client.state(),
          end: await client.end(true),
        };
      },
    },
    {
      name: "transactions: Produce to a partition that isn't in the transaction, by version",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "unadded");
        const seen = {};
        for (const version of [9, 10, 11]) seen[version] = await client.produce(0, 0, { version });
        seen.state = await client.state();
        seen.foreign = await client.produce(0, 0, { pid: client.pid + 77n });
        seen.unknown = await client.produce(0, 0, { id: "unadded-unknown" });
        seen.newer = await client.produce(0, 0, { epoch: client.epoch + 1 });
        seen.plain = [await client.produce(1, 0, { attributes: 0 }), await client.state()];
        await client.add([0]);
        seen.added = [await client.produce(0, 0), await client.produce(0, 0), await client.produce(0, 1)];
        seen.withoutBit = await client.produce(0, 2, { attributes: 0 });
        seen.producer = await client.markersOf(0);
        seen.end = [
          await client.end(true),
          await client.state(),
          await client.produce(0, 2),
          await client.produce(0, 1),
        ];
        return seen;
      },
    },
    {
      name: "transactions: Produce 12 adds the partition, also when the batch is refused",
      releases: version2,
      run: async ({ wires }) => {
        const client = await Client.start(wires, "adds");
        const seen = { gap: await client.produce(1, 5, { version: 12 }), state: await client.state() };
        seen.end = await client.end(false, { version: 5 });
        seen.corrupt = [await client.produce(1, 0, { version: 12, crcError: 1 }), await client.state()];
        seen.abort = await client.end(false, { version: 5 });
        seen.missing = [await client.produce(9, 0, { version: 12 }), await client.state()];
        seen.newer = await client.produce(0, 0, { version: 12, epoch: client.epoch + 1 });
        seen.older = await client.produce(0, 0, { version: 12, epoch: client.epoch - 1 });
        seen.foreign = await client.produce(0, 0, { version: 12, pid: client.pid + 77n });
        return seen;
      },
    },
    {
      name: "transactions: sequences behind the end of a transaction of version 2",
      releases: version2,
      run: async ({ wires }) => {
        const client = await Client.start(wires, "after-2");
        const seen = [];
        const { epoch } = client;
        seen.push(await client.begin(), await client.produce(0, 1, { version: 12 }));
        seen.push(await client.end(true, { version: 5 }));
        seen.push(await client.produce(0, 2, { version: 12 }), await client.state());
        seen.push(
          await client.produce(0, 0, { version: 12, epoch }),
          await client.produce(0, 1, { version: 12, epoch }),
        );
        seen.push(await client.produce(0, 0, { version: 12 }), await client.markersOf(0));
        seen.push(await client.end(false, { version: 5 }), await client.markersOf(0));
        return seen;
      },
    },
    {
      name: "transactions: sequences behind the end of a transaction of version 1",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "after-1");
        const seen = [await client.add([0]), await client.produce(0, 5), await client.produce(0, 6)];
        seen.push(await client.end(true), await client.markersOf(0), await client.add([0, 1]));
        seen.push(await client.produce(0, 0), await client.produce(0, 5), await client.produce(0, 7));
        seen.push(await client.end(false));
        // A marker came to partition 1, and no record.
        seen.push(await client.markersOf(1), await client.add([1]));
        seen.push(await client.produce(1, 3), await client.produce(1, 0), await client.end(true));
        return seen;
      },
    },
    {
      name: "transactions: a transaction that a leader knows, and a batch of the next epoch",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "next-epoch", "fenced-transactions");
        await client.begin(0, 11);
        const seen = [await client.produce(0, 0, { epoch: client.epoch + 1 })];
        seen.push(await client.produce(0, 1), await client.produce(0, 1, { epoch: client.epoch - 1 }));
        seen.push(await client.try(false));
        return seen;
      },
    },
    {
      name: "transactions: InitProducerId again, with what is known, what was, and what isn't",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "init");
        const { epoch, pid } = client;
        client.shown({ errorCode: 0, producerEpoch: epoch, producerId: pid });
        const ask = async (options) => client.shown(await client.askInit(options));
        const seen = [];
        seen.push(await ask({ pid, epoch }), await ask({ pid, epoch }), await ask({ pid, epoch, version: 3 }));
        seen.push(
          await ask({ pid, epoch: epoch + 1 }),
          await ask({ pid, epoch }),
          await ask({ pid, epoch, version: 3 }),
        );
        seen.push(await ask({ pid, epoch: epoch + 9 }), await ask({ pid: pid + 77n, epoch }));
        seen.push(
          await ask({}),
          await ask({ pid, epoch: epoch + 2 }),
          await ask({ version: 1 }),
          await ask({ version: 5 }),
        );
        for (const timeoutMs of [0, -1, 900_000, 900_001]) seen.push(await ask({ timeoutMs }));
        const unknown = new Client(client.wire, "init-unknown", "transactions");
        await until(() => unknown.wire.ask(FindCoordinator, 3, { key: unknown.id, keyType: 1 }), (it) => it.errorCode);
        const first = await unknown.askInit({ pid, epoch });
        seen.push([first.errorCode, first.producerId === pid, first.producerEpoch]);
        return seen;
      },
    },
    {
      name: "transactions: a takeover, and what the zombie is told",
      run: async ({ wires }) => {
        const zombie = await Client.start(wires, "zombie");
        await zombie.begin(0, 11);
        const { epoch, pid } = zombie;
        const second = new Client(await wires.open(), "zombie", "transactions");
        await until(
          () => zombie.wire.ask(FindCoordinator, 3, { key: "zombie-group", keyType: 0 }),
          (it) => it.errorCode,
        );
        const first = await second.askInit();
        await second.init();
        const seen = { first: first.errorCode, isSameId: second.pid === pid, epochs: second.epoch - epoch };
        seen.produce = [
          await zombie.produce(0, 1),
          await zombie.produce(0, 1, { version: 9 }),
          await zombie.produce(1, 0),
        ];
        seen.add = [
          await zombie.add([0]),
          await zombie.add([0], { version: 1 }),
          await zombie.addOffsets("zombie-group"),
        ];
        seen.end = [await zombie.try(true), await zombie.try(false), await zombie.try(true, { version: 1 })];
        seen.init = [await zombie.askInit({ pid, epoch }), await zombie.askInit({ pid, epoch, version: 3 })]
          .map(({ errorCode }) => errorCode);
        seen.offsets = [];
        for (const version of [3, 4]) seen.offsets.push(await zombie.commitOffsets("zombie-group", 1n, { version }));
        seen.state = await second.state();
        return seen;
      },
    },
    {
      name: "transactions: InitProducerId in mid-transaction with what is known",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "middle");
        await client.begin(0, 11);
        const { epoch, pid } = client;
        client.shown({ errorCode: 0, producerEpoch: epoch, producerId: pid });
        return [
          (await client.askInit({ pid, epoch })).errorCode,
          await client.init({ pid, epoch }),
          await client.state(),
        ];
      },
    },
    {
      name: "transactions: the coordinator's timeout, and what the producer is told by version 1",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "timeout-1");
        await client.init({ timeoutMs: 500 });
        await client.begin(0, 11);
        const { epoch, pid } = client;
        client.shown({ errorCode: 0, producerEpoch: epoch, producerId: pid });
        await until(() => client.state(), ([, state]) => state, ["Ongoing"]);
        await sleep(300);
        const seen = { state: await client.state(), produce: [await client.produce(0, 1), await client.produce(1, 0)] };
        seen.add = await client.add([0]);
        seen.end = [await client.try(true), await client.try(false)];
        seen.marker = await client.markersOf(0);
        seen.next = await client.init({ pid, epoch: epoch + 1 });
        return seen;
      },
    },
    {
      name: "transactions: the coordinator's timeout, and what the producer is told by version 2",
      releases: version2,
      run: async ({ wires }) => {
        const seen = {};
        for (const first of ["end", "init"]) {
          const client = await Client.start(wires, `timeout-2-${first}`);
          await client.init({ timeoutMs: 500 });
          await client.begin();
          const { epoch, pid } = client;
          client.shown({ errorCode: 0, producerEpoch: epoch, producerId: pid });
          await until(() => client.state(), ([, state]) => state, ["Ongoing"]);
          await sleep(300);
          const of = seen[first] = { state: await client.state() };
          of.produce = [await client.produce(0, 1, { version: 12 }), await client.produce(1, 0, { version: 12 })];
          if (first === "init") of.init = await client.init({ pid, epoch });
          else {
            const options = { version: 5, epoch };
            of.end = [
              await client.try(true, options),
              await client.try(false, options),
              await client.try(true, options),
            ];
            of.adopted = await client.end(false, options);
          }
          of.next = [await client.produce(0, 0, { version: 12 }), await client.end(true, { version: 5 })];
        }
        return seen;
      },
    },
    {
      name: "transactions: offsets of a group, added or not, of members that are none, stable or not",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "offsets");
        const group = "offsets-group";
        await until(() => client.wire.ask(FindCoordinator, 3, { key: group, keyType: 0 }), (it) => it.errorCode);
        const seen = {};
        seen.unadded = [];
        for (const version of [3, 4]) seen.unadded.push(await client.commitOffsets(group, 5n, { version }));
        seen.added = [await client.addOffsets(group), await client.commitOffsets(group, 5n)];
        seen.missing = await client.commitOffsets(group, 5n, { partition: 9 });
        seen.nobody = await client.commitOffsets("", 5n);
        seen.members = [
          await client.commitOffsets(group, 5n, { generation: 3, memberId: "stranger" }),
          await client.commitOffsets(group, 5n, { generation: 3 }),
          await client.commitOffsets(group, 6n, { memberId: "stranger" }),
          await client.commitOffsets(group, 6n, { instanceId: "stranger" }),
          await client.addOffsets("offsets-unknown"),
          await client.commitOffsets("offsets-unknown", 6n, { generation: 3, memberId: "stranger" }),
        ];
        seen.pending = [await client.offsets(group), await client.offsets(group, true)];
        seen.end = [await client.end(true), await client.state()];
        await until(() => client.offsets(group, true), ([[, code]]) => code, [88]);
        seen.committed = [await client.offsets(group), await client.offsets(group, true)];
        await client.addOffsets(group);
        await client.commitOffsets(group, 9n);
        seen.pendingAgain = [await client.offsets(group), await client.offsets(group, true), await client.state()];
        await client.end(false);
        await until(() => client.offsets(group, true), ([[, code]]) => code, [88]);
        seen.aborted = await client.offsets(group);
        return seen;
      },
    },
    {
      name: "transactions: TxnOffsetCommit 5 adds the group by itself",
      releases: version2,
      run: async ({ wires }) => {
        const client = await Client.start(wires, "offsets-2");
        const group = "offsets-group-2";
        await until(() => client.wire.ask(FindCoordinator, 3, { key: group, keyType: 0 }), (it) => it.errorCode);
        const { epoch } = client;
        const seen = { commit: await client.commitOffsets(group, 5n, { version: 5 }), state: await client.state() };
        seen.end = await client.end(true, { version: 5 });
        await until(() => client.offsets(group, true), ([[, code]]) => code, [88]);
        seen.committed = await client.offsets(group, true);
        seen.older = await client.commitOffsets(group, 6n, { version: 5, epoch });
        seen.newer = await client.commitOffsets(group, 6n, { version: 5, epoch: epoch + 9 });
        return seen;
      },
    },
    {
      name:
        "transactions: what is read, committed or not, with markers, aborted transactions and the last stable offset",
      run: async ({ wires }) => {
        const client = await Client.start(wires, "reading", "read-transactions");
        client.shown({ errorCode: 0, producerEpoch: client.epoch, producerId: client.pid });
        const start = (await endOf(client.wire, client.topic))[1];
        const seen = { empty: await client.read(start, 1) };
        await client.begin(0, 11);
        seen.open = [await client.read(start, 0), await client.read(start, 1)];
        seen.latest = [await latest(client, 0), await latest(client, 1)];
        await client.end(true);
        await until(() => latest(client, 1), Number, [Number(start)]);
        seen.committed = await client.read(start, 1);
        await client.begin(1, 11);
        const plain = { records: [{ value: "plain" }], baseTimestamp: now() };
        const topicData = [{ name: client.topic, partitionData: [{ index: 0, records: batchOf(plain) }] }];
        await client.wire.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData });
        seen.between = await client.read(start, 1);
        await client.end(false);
        await until(() => latest(client, 1), Number, [Number(start) + 2]);
        seen.aborted = [await client.read(start, 1), await client.read(start, 0)];
        seen.behind = [await client.read(start + 3n, 1), await client.read(start + 5n, 1)];
        seen.stale = await client.read(start + 99n, 1);
        return seen;
      },
    },
    {
      name: "ApiVersions: ranges of what transactions and groups need",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const { apiKeys } = await wire.ask(ApiVersions, 0, {});
        const keys = [8, 9, 10, 11, 12, 13, 14, 15, 16, 22, 23, 24, 25, 26, 28, 42, 61, 65, 66];
        return apiKeys.filter(({ apiKey }) => keys.includes(apiKey)).map((
          it,
        ) => [it.apiKey, it.minVersion, it.maxVersion]);
      },
    },
    {
      name: "transactions: FindCoordinator of every version and of types that there are not",
      run: async ({ wires }) => {
        await Client.start(wires, "find");
        const wire = await wires.open();
        const seen = {};
        for (const version of [1, 2, 3]) {
          const answer = await wire.ask(FindCoordinator, version, { key: "find", keyType: 1 });
          seen[version] = [answer.errorCode, answer.errorMessage, answer.nodeId, answer.host];
        }
        for (const version of [4, 5, 6]) {
          for (const keyType of [1, 9]) {
            const { coordinators } = await wire.ask(FindCoordinator, version, {
              keyType,
              coordinatorKeys: ["find", "find"],
            });
            seen[`${version} ${keyType}`] = coordinators.map((it) => [it.key, it.errorCode, it.nodeId, it.host]);
          }
          seen[`${version} none`] = await wire.ask(FindCoordinator, version, { keyType: 1, coordinatorKeys: [] });
        }
        return seen;
      },
    },
  ];
}
