import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { doctor, type Finding } from "../../src/cli/doctor.ts";
import type { DoctorCommand } from "../../src/cli/doctor_command.ts";
import { systemRuntime } from "../../src/runtime/select.ts";
import { EmbeddedCluster, type EmbeddedClusterOptions, Metadata } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { world } from "./world.ts";

interface Report {
  readonly ok: boolean;
  readonly interrupted: boolean;
  readonly clusterId: string | null;
  readonly steps: readonly Finding[];
}

async function visit(
  cluster: EmbeddedCluster,
  given: Partial<DoctorCommand> = {},
  io = world([]),
): Promise<{ exitCode: number; report: Report; out: string }> {
  const command: DoctorCommand = {
    topic: undefined,
    write: false,
    json: true,
    timeoutMs: 5_000,
    ...given,
    client: { brokers: cluster.bootstrap, ...given.client },
  };
  const connect = cluster.sockets;
  const createProducer = (options: object) => new Producer({ ...options, connect } as never);
  const exitCode = await doctor(command, io, { runtime: systemRuntime(connect), createProducer });
  return { exitCode, report: command.json ? JSON.parse(io.out) as Report : undefined as never, out: io.out };
}

const setting = (options: EmbeddedClusterOptions = {}) =>
  new EmbeddedCluster({ brokers: 2, topics: { orders: { partitions: 3, replicationFactor: 2 } }, ...options });
const outline = ({ steps }: Report) => steps.map(({ step, status }) => `${step} ${status}`);

test("cli doctor: goes every step of the way of a record, and writes one", async () => {
  const cluster = setting();
  const { exitCode, report } = await visit(cluster, { topic: "orders", write: true });
  const server = cluster.bootstrap.includes(",") ? 2 : 1;
  const knocks = Array.from({ length: server }, () => ["resolve ok", "dial ok", "versions ok"]).flat()
    .filter((step) => step !== "resolve ok" || report.steps.some((each) => each.step === "resolve"));
  assert.deepEqual(outline(report), [
    ...knocks,
    ...["cluster ok", "broker 1 ok", "broker 2 ok", "topic ok", "acl ok", "write ok"],
  ]);
  assert.equal(exitCode, 0);
  assert.equal(report.ok, true);
  assert.equal((await cluster.records("orders")).length, 1);
  assert.match(report.steps.find(({ step }) => step === "topic")!.detail, /^3 partitions, 2 replicas, all in sync$/);
});

test("cli doctor: a topic that isn't there fails with what to do, and nothing is written", async () => {
  const { exitCode, report } = await visit(setting(), { topic: "absent", write: true });
  assert.equal(exitCode, 1);
  const last = report.steps.at(-1)!;
  assert.deepEqual([last.step, last.status], ["topic", "failed"]);
  assert.match(last.detail, /UNKNOWN_TOPIC_OR_PARTITION/);
  assert.match(last.advice!, /sluice topics create/);
});

test("cli doctor: a broker that is down, and partitions that it leaves behind, are told", async () => {
  const cluster = setting();
  const [first] = cluster.bootstrap.split(",");
  cluster.stopBroker(2);
  const { exitCode, report } = await visit(cluster, { topic: "orders", client: { brokers: first! } });
  const topic = report.steps.find(({ step }) => step === "topic")!;
  assert.equal(topic.status, "warning");
  assert.match(topic.detail, /not fully in sync/);
  assert.equal(exitCode, 0);
  const { exitCode: all, report: other } = await visit(cluster, { client: { brokers: cluster.bootstrap } });
  if (cluster.bootstrap.includes(",")) {
    assert.equal(all, 1);
    assert.ok(
      other.steps.some(({ step, status, advice }) => step === "dial" && status === "failed" && advice !== null),
    );
  }
});

test("cli doctor: an unknown host ends at its name", async () => {
  const { exitCode, report } = await visit(setting(), { client: { brokers: "unknown.example:9092" } });
  assert.equal(exitCode, 1);
  assert.deepEqual(outline(report), ["resolve failed"]);
  assert.match(report.steps[0]!.advice!, /DNS/);
});

test("cli doctor: names and passwords are tried after the versions, and a broker that wants them is recognized", async () => {
  const cluster = new EmbeddedCluster({
    topics: { orders: 1 },
    sasl: { users: { alice: "secret" }, mechanisms: ["SCRAM-SHA-256"] },
  });
  const saslOf = (password: string) => ({
    brokers: cluster.bootstrap,
    sasl: { mechanism: "SCRAM-SHA-256", username: "alice", password },
  });
  const right = await visit(cluster, { topic: "orders", client: saslOf("secret") });
  assert.ok(outline(right.report).includes("sasl ok"), right.out);
  const wrong = await visit(cluster, { client: saslOf("s3cret") });
  assert.equal(outline(wrong.report).at(-1), "sasl failed");
  assert.doesNotMatch(wrong.out, /s3cret/);
  const none = await visit(cluster);
  assert.equal(outline(none.report).at(-1), "cluster failed");
  assert.match(none.report.steps.at(-1)!.detail, /wants to know who you are/);
});

test("cli doctor: for people each step is a line with its time, and advice stands below", async () => {
  const { exitCode, out } = await visit(setting(), { json: false, topic: "absent" });
  assert.equal(exitCode, 1);
  assert.match(out, /^✓ +\d+(\.\d)? ms {2}cluster +/m);
  assert.match(out, /^✗ +\d+(\.\d)? ms {2}topic +absent: .*\n {12}→ Look at the name/m);
  assert.match(out, /Something is wrong: see above\.\n$/);
});

test("cli doctor: an interrupt ends a step that waits, exit code 130", async () => {
  const cluster = setting();
  const io = world([]);
  cluster.control(Metadata, () => {
    io.interrupt();
    return "silence" as never;
  });
  const { exitCode, report } = await visit(cluster, {}, io);
  assert.equal(exitCode, 130);
  assert.equal(report.interrupted, true);
});
