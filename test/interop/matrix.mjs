/**
 * Every runtime × codec × acks against one Kafka: produced by us, read by the Java consumer, librdkafka and kafkajs.
 *
 * One process per runtime and one per reader go through all topics, so that start-up is paid once.
 */
import { clientNames, prepareClient, runClient } from "./clients.mjs";
import { compareCodec, compareMetadata, compareOrder, comparePartitions, compareRecords } from "./compare.mjs";
import { interopRecords, partitionCount } from "./records.mjs";
import { missingRuntime, produceOn } from "./runtimes.mjs";

/** Runs the matrix on a started Kafka, narrowed to what is wanted. */
export async function runMatrixPart({ kafka, wanted, tally }) {
  const { version, brokers, libs } = kafka;
  const records = interopRecords();
  const readers = await prepareReaders({ version, libs, wanted, tally });
  const runtimes = wanted.runtimes.filter((name) => {
    const reason = name === "java" ? undefined : missingRuntime(name);
    if (reason !== undefined) {
      tally.skip(`Kafka ${version}: ${name}`, reason, false);
    }
    return reason === undefined;
  });
  const legs = legsOf(runtimes, wanted);
  // Where the Java producer puts each record is asked for in any case.
  const java = legs.get("java") ?? [topicOf("java", "none", "all")];
  const all = [...new Set([...java, ...legs.values()].flat())];
  await runClient("java", libs, "create", {
    brokers,
    partitions: partitionCount,
    topics: all.map(({ topic }) => topic),
  });

  const produced = await produceLegs({ kafka, legs, java, records });
  const expected = all.map(({ topic }) => ({ topic, count: records.length }));
  const found = await readAll({ brokers, libs, readers, topics: expected });
  const javaPartitions = produced.get("java").reports.get(java[0].topic)
    ?.results?.map(([partition]) => partition);

  for (const [runtime, topics] of legs) {
    const { reports, problem } = produced.get(runtime);
    tally.check(`Kafka ${version}: ${runtime} produces every topic`, [
      ...problem === undefined ? [] : [problem],
      ...topics.flatMap(({ topic }) => {
        const error = reports.has(topic) ? reports.get(topic).error : "the producer reported nothing";
        return error === undefined ? [] : [`${topic}: ${error}`];
      }),
    ]);
    for (const each of topics) {
      checkTopic({ kafka, readers, tally, runtime, each, records, report: reports.get(each.topic), found });
    }
    const keyed = topics.flatMap(({ topic }) => {
      const places = comparePartitions(records, seenIn(found.get(readers[0]), topic), javaPartitions ?? []);
      return places.map((line) => `${topic}: ${line}`);
    });
    tally.check(`Kafka ${version}: ${runtime} puts keyed records where the Java producer puts them`, keyed);
  }
}

function checkTopic({ kafka, readers, tally, runtime, each, records, report, found }) {
  const { topic, codec, acks } = each;
  const name = `Kafka ${kafka.version}: ${runtime} ${codec} acks=${acks}`;
  for (const reader of readers) {
    const got = found.get(reader);
    const differences = got instanceof Error ? [got.message] : compareRecords(records, got.get(topic) ?? [], {
      looseHeaders: reader === "kafkajs",
    });
    tally.check(`${name} read by ${reader}`, differences);
  }
  const seen = seenIn(found.get(readers[0]), topic);
  tally.check(
    `${name} lies in the log in the order of the sends, in batches of that codec`,
    [
      ...seen.length === 0 ? ["nothing was read"] : [],
      ...compareOrder(records, seen),
      ...compareCodec(kafka.nodes[0].dataDir, topic, partitionCount, codec),
    ],
  );
  if (runtime === "java") return; // its report has fewer columns
  tally.check(`${name} says where each record lies`, compareMetadata(records, seen, report?.results, acks));
}

/** A topic's records, none where the reader failed: that is a failed test already. */
function seenIn(found, topic) {
  return found instanceof Error ? [] : found.get(topic) ?? [];
}

/** The readers that can run here; the first one is also asked about order and places. */
async function prepareReaders({ version, libs, wanted, tally }) {
  const ready = [];
  for (const name of clientNames) {
    const reason = await prepareClient(name, libs);
    if (!wanted.readers.includes(name)) continue;
    // No Python on a machine is no fault of ours.
    if (reason !== undefined) {
      tally.skip(`Kafka ${version}: read by ${name}`, reason, name === "librdkafka");
    } else ready.push(name);
  }
  return ready;
}

/** Topics by runtime. */
function legsOf(runtimes, wanted) {
  return new Map(runtimes.map((runtime) => {
    const acksOf = runtime === "java" ? ["all"] : wanted.acks;
    const codecs = runtime === "java" ? [...new Set(["none", ...wanted.codecs])] : wanted.codecs;
    return [runtime, codecs.flatMap((codec) => acksOf.map((acks) => topicOf(runtime, codec, acks)))];
  }));
}

function topicOf(runtime, codec, acks) {
  return { topic: `${runtime}-${codec}-${acks}`, codec, acks: acks === "all" ? acks : Number(acks) };
}

/** Lets all legs produce, two at a time: as many as the smallest machine that this is meant for has cores. */
async function produceLegs({ kafka: { brokers, libs }, legs, java, records }) {
  const produced = new Map();
  const waiting = [["java", java], ...[...legs].filter(([runtime]) => runtime !== "java")];
  const work = async () => {
    for (
      let next = waiting.shift();
      next !== undefined;
      next = waiting.shift()
    ) {
      const [runtime, topics] = next;
      const plan = { brokers, topics, records };
      produced.set(runtime, runtime === "java" ? await produceByJava(libs, plan) : await produceOn(runtime, plan));
    }
  };
  await Promise.all([work(), work()]);
  return produced;
}

async function produceByJava(libs, plan) {
  try {
    const lines = await runClient("java", libs, "produce", plan);
    return { reports: new Map(lines.map((report) => [report.topic, report])), problem: undefined };
  } catch (error) {
    return { reports: new Map(), problem: error.message };
  }
}

/** What each reader found in `{ topic, count }[]`, by topic, or the error that ended it. */
export async function readAll({ brokers, libs, readers, topics }) {
  const plan = { brokers, topics, partitions: partitionCount, withinMs: 120_000 };
  return new Map(
    await Promise.all(readers.map(async (reader) => {
      try {
        return [reader, byTopic(await runClient(reader, libs, "read", plan))];
      } catch (error) {
        return [reader, error];
      }
    })),
  );
}

/** Groups what a reader printed. */
function byTopic(lines) {
  const topics = new Map();
  for (const line of lines) {
    if (!topics.has(line.topic)) topics.set(line.topic, []);
    topics.get(line.topic).push(line);
  }
  return topics;
}
