/**
 * One group, members of several makes: ours beside the consumer of kafkajs and the Java consumer, on real Kafka.
 *
 * Each pair is tried in both orders, so that once the one and once the other leads and divides the partitions. Records
 * are written before, between and after the rebalances; every one of them must be read, each partition by one member.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { classPath, toolJvmFlags } from "../../scripts/kafka.mjs";

const partitions = 6;
const waitMs = 60_000;

/** Makers of members: each is given a topic and a group, and tells what it reads. */
const others = {
  kafkajs: { assignors: ["RoundRobinAssigner"], start: startKafkajs },
  "java, cooperative": {
    assignors: ["cooperative-sticky"],
    start: (setup) => startJava(setup, "CooperativeStickyAssignor"),
  },
  "java, range": { assignors: ["range"], start: (setup) => startJava(setup, "RangeAssignor") },
  "java, round robin": { assignors: ["roundrobin"], start: (setup) => startJava(setup, "RoundRobinAssignor") },
};

/** Runs every pair in both orders; `sluice` is the package's `{ Producer, GroupReader }`. */
export async function runGroupsPart({ kafka, sluice, tally }) {
  const { Kafka, logLevel } = (await import("kafkajs")).default;
  const client = new Kafka({
    ...{ brokers: kafka.brokers.split(","), logLevel: logLevel.NOTHING },
    // Its second is too little for a machine that is busy.
    connectionTimeout: 20_000,
  });
  const admin = client.admin();
  await admin.connect();
  try {
    for (const [name, other] of Object.entries(others)) {
      for (const order of ["they first", "we first"]) {
        const label = `group with ${name}, ${order}`;
        await tally.guard(label, async () => {
          const topic = `group-${label.replaceAll(/[^a-z]+/g, "-")}`;
          await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true });
          const setup = { kafka, client, sluice, topic, groupId: topic, assignors: other.assignors };
          tally.check(label, await share(setup, other.start, order));
        });
      }
    }
    const label = "group of Java with the protocol of KIP-848";
    await tally.guard(label, async () => {
      const topic = "group-described";
      await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true });
      tally.check(label, await describe({ kafka, sluice, topic, groupId: topic }));
    });
  } finally {
    await admin.disconnect();
  }
}

/** What our admin client tells of a group whose partitions the broker assigns. */
async function describe(setup) {
  const { groupId, kafka, sluice, topic } = setup;
  const producer = new sluice.Producer({ brokers: kafka.brokers });
  const admin = sluice.createAdmin({ brokers: kafka.brokers });
  const member = startJava(setup, undefined);
  try {
    const deadline = performance.now() + waitMs;
    while (member.seen.length === 0 && performance.now() < deadline) {
      await producer.send({ topic, value: "something" });
      await sleep(100);
    }
    const [group] = await admin.describeGroups([groupId]).all();
    const { coordinator: _, members, ...told } = group;
    const [{ assignment = [], clientHost, clientId } = {}] = members;
    const found = {
      ...told,
      members: members.length,
      clientHost,
      clientId,
      assignment: assignment.map(indexOf).sort(),
    };
    const wanted = {
      ...{ groupId, type: "consumer", state: "Stable", protocolType: "consumer", protocol: "uniform", members: 1 },
      ...{ clientHost: "/127.0.0.1", clientId: "console-consumer" },
      assignment: Array.from({ length: partitions }, (_, partition) => partition),
    };
    const [is, should] = [found, wanted].map((each) => JSON.stringify(each, Object.keys(wanted)));
    return is === should ? [] : [`${is}, wanted ${should}`];
  } finally {
    await member.stop();
    await Promise.all([producer.close(), admin.close()]);
  }
}

async function share(setup, startOther, order) {
  const { sluice, topic } = setup;
  const producer = new sluice.Producer({ brokers: setup.kafka.brokers });
  const differences = [];
  const members = [];
  const starters = order === "they first" ? [startOther, startOurs] : [startOurs, startOther];
  let sent = 0;
  const write = (count) => {
    const records = Array.from(
      { length: count },
      () => ({ topic, partition: sent % partitions, value: String(sent++) }),
    );
    return producer.sendBatch(records).all();
  };
  const readBy = () => new Set(members.flatMap(({ seen }) => seen));
  const expect = async (what, condition) => {
    const deadline = performance.now() + waitMs;
    while (!condition() && performance.now() < deadline) await sleep(50);
    if (!condition()) {
      const state = members.map(({ assignment, seen }) =>
        `${assignment?.() ?? "?"} partitions, ${seen.length} records`
      );
      differences.push(`${what}: ${state.join("; ")}`);
    }
  };
  const ours = () => members.find(({ assignment }) => assignment !== undefined);
  try {
    await write(60);
    members.push(await starters[0](setup));
    await expect("the first member reads everything", () => readBy().size === 60);
    members.push(await starters[1](setup));
    await expect("each has its half", () => ours().assignment() === partitions / 2);
    // What Java has just been assigned it reads from the next poll on.
    await sleep(1_000);
    await write(60);
    await expect("both together read everything", () => readBy().size === 120);
    for (const { seen } of members) {
      if (!seen.some((value) => Number(value) >= 60)) differences.push("a member has read nothing of what both share");
    }
    const [leaver] = members;
    await leaver.stop();
    if (leaver.assignment === undefined) {
      await expect("the one that stays has all", () => ours().assignment() === partitions);
    }
    await write(60);
    await expect("the one that stays reads everything", () => readBy().size === 180);
    // Each once or more: what was read when the rebalance came may not have been committed.
    const last = new Set(members[1].seen.filter((value) => Number(value) >= 120));
    if (last.size !== 60) differences.push(`the one that stays has read ${last.size} of 60`);
  } finally {
    for (const { stop } of members) await stop();
    await producer.close();
  }
  return differences;
}

function startOurs({ assignors, groupId, kafka, sluice, topic }) {
  const seen = [];
  const reader = new sluice.GroupReader({
    ...{ brokers: kafka.brokers, groupId, topics: [topic], assignors },
    ...{ sessionTimeoutMs: 10_000, heartbeatIntervalMs: 500 },
    onRevoked: () => reader.commit(),
  });
  const decoder = new TextDecoder();
  const reading = (async () => {
    for await (const { records } of reader.batches()) {
      for (const { value } of records) seen.push(decoder.decode(value));
      await reader.commit().catch(() => {});
    }
  })();
  return {
    seen,
    assignment: () => reader.assignment.length,
    stop: async () => {
      await reader.close();
      await reading;
    },
  };
}

async function startKafkajs({ client, groupId, topic }) {
  const seen = [];
  const consumer = client.consumer({ groupId, heartbeatInterval: 500, sessionTimeout: 10_000 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ autoCommitThreshold: 1, eachMessage: ({ message }) => void seen.push(String(message.value)) });
  return { seen, stop: () => consumer.disconnect() };
}

function indexOf({ partition }) {
  return partition;
}

/** Without an assignor the broker assigns. */
function startJava({ groupId, kafka, topic }, assignor) {
  const seen = [];
  const classic = {
    "partition.assignment.strategy": `org.apache.kafka.clients.consumer.${assignor}`,
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 500,
  };
  const properties = {
    ...assignor === undefined ? { "group.protocol": "consumer" } : classic,
    "auto.commit.interval.ms": 100,
  };
  const child = spawn("java", [
    ...[...toolJvmFlags, "-cp", classPath(kafka.libs), "org.apache.kafka.tools.consumer.ConsoleConsumer"],
    ...["--bootstrap-server", kafka.brokers, "--topic", topic, "--group", groupId, "--from-beginning"],
    ...Object.entries(properties).flatMap(([name, value]) => ["--consumer-property", `${name}=${value}`]),
  ], { stdio: ["ignore", "pipe", "ignore"] });
  createInterface({ input: child.stdout }).on("line", (line) => seen.push(line));
  const ended = new Promise((resolve) => child.once("close", resolve));
  return {
    seen,
    stop: () => {
      // Asked, not killed: the Java consumer leaves its group then.
      child.kill("SIGTERM");
      return ended;
    },
  };
}
