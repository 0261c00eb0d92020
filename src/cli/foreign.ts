/**
 * What users of kcat, of Java's console programs and of rpk write, and what it is called here.
 *
 * @module
 */

const PROPERTY = "write it as -X NAME=VALUE";
const LINES = "records are read in batches by themselves";

/** By the name as it was written: what to say of it, whatever the command. */
const EVERYWHERE: Readonly<Record<string, string>> = {
  // Java
  "--bootstrap-server": "use --brokers",
  "--broker-list": "use --brokers",
  "--bootstrap-controller": "use --brokers with the address of a broker",
  "--command-config": "use --config",
  "--producer.config": "use --config",
  "--producer-config": "use --config",
  "--consumer.config": "use --config",
  "--consumer-config": "use --config",
  "--command-property": PROPERTY,
  "--producer-property": PROPERTY,
  "--consumer-property": PROPERTY,
  "--formatter": "use --format TEMPLATE or --json",
  "--zookeeper": "use --brokers: there is no ZooKeeper any more",
  // kcat
  "-P": "this is what sluice produce does without it",
  "-C": "use sluice tail",
  "-L": "use sluice topics",
  "-Q": "use sluice tail --from TIMESTAMP --count 1 --format %o",
  "-G": "groups are read by GroupReader of @sluice/kafka/reader; sluice tail reads without one",
  "-m": "use --timeout-ms",
  "-d": "use -X logger=console",
  "-v": "leave it out: what goes wrong is told without it",
  "-E": "leave it out: records that fail are counted and the others go on",
  "-s": "leave it out: bytes are printed as they are, and as base64 by --json where they are no text",
  "-r": "leave it out: schemas are for programs, see @sluice/kafka/schema-registry",
  "-u": "leave it out: what is printed leaves at once",
  "-O": "use --format '%o %s\\n'",
  "-U": "leave it out",
  // rpk
  "--user": "use -X sasl.username=NAME",
  "--password": "use -X sasl.password=… or, better, --config FILE",
  "--pass": "use -X sasl.password=… or, better, --config FILE",
  "--sasl-mechanism": "use -X sasl.mechanism=NAME",
  "--tls-enabled": "use -X security.protocol=ssl (or sasl_ssl)",
  "--tls-cert": "use -X ssl.certificate.location=FILE",
  "--tls-key": "use -X ssl.key.location=FILE",
  "--tls-truststore": "use -X ssl.ca.location=FILE",
  "--tls-insecure-skip-verify": "use -X enable.ssl.certificate.verification=false",
  "--profile": "use --config",
  "--verbose": "leave it out: what goes wrong is told without it",
};

/** Likewise, for one command. */
const BY_COMMAND: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  produce: {
    "--reader-property": "use --key-separator, --headers-separator and --null-marker",
    "--line-reader": "use --format lines, ndjson, json or envelope",
    "--reader-config": "use --config, and --key-separator, --headers-separator, --null-marker",
    "--request-required-acks": "use --acks",
    "--request-timeout-ms": "use -X request.timeout.ms=MS",
    "--compression-codec": "use --compression",
    "--message-send-max-retries": "use -X retries=N",
    "--retry-backoff-ms": "use -X retry.backoff.ms=MS",
    "--max-block-ms": "use -X max.block.ms=MS",
    "--max-memory-bytes": "use -X buffer.memory=BYTES",
    "--max-partition-memory-bytes": "use --batch-size",
    "--socket-buffer-size": "leave it out: the system chooses it",
    "--metadata-expiry-ms": "use -X metadata.max.age.ms=MS",
    "--sync": `leave it out: ${LINES}, and all of them are waited for at the end`,
    "--timeout": "use --linger-ms",
    "--delivery-timeout": "use --timeout-ms",
    "--output-format": "use --output",
    "--allow-auto-topic-creation": "use -X allow.auto.create.topics=true",
    "--max-message-bytes": "use -X max.request.size=BYTES",
    "--tombstone": "use --empty-as-null",
    "--schema-id": "leave it out: schemas are for programs, see @sluice/kafka/schema-registry",
    "--messages": "use --count",
    "-J": "use --format envelope to read JSON envelopes, --json for the summary",
    "-e": "leave it out: it ends with its input",
    "-f": "use --format lines, ndjson, json or envelope",
    "--throughput": "use --rate",
    "--num-records": "use --count, or sluice bench",
  },
  tail: {
    "--from-beginning": "use --from beginning",
    "--max-messages": "use --count",
    "--num": "use --count",
    "--isolation-level": "use --isolation",
    "--formatter-property": "use --key-separator or --format TEMPLATE",
    "--partitions": "use --partition",
    "--group": "leave it out: sluice tail reads without a group",
    "--include": "name one topic",
    "--whitelist": "name one topic",
    "--meta-only": "use --format '%t %p %o %T\\n'",
    "--print-control-records": "leave it out: they are not printed",
    "--read-committed": "leave it out: read_committed is the default",
    "--offset": "use --from",
    "-n": "use --from -N, or --count for as many records",
    "--follow": "leave it out: it goes on until --exit, --count or --to end it",
  },
  topics: {
    "--create": "write sluice topics create NAME",
    "--delete": "write sluice topics delete NAME",
    "--describe": "write sluice topics describe NAME",
    "--list": "write sluice topics list",
    "--alter": "write sluice topics alter NAME",
    "--topic": "write the name behind the action, as in sluice topics describe NAME",
    "--topic-config": "use --set",
    "--add-config": "use --set",
    "--delete-config": "use --unset",
    "--replicas": "use --replication-factor",
    "-t": "write the name behind the action, as in sluice topics describe NAME",
  },
  bench: {
    "--num-records": "use --count",
    "--record-size": "use --size",
    "--throughput": "use --rate",
    "--producer-props": PROPERTY,
    "--payload-file": "use sluice produce FILE, which tells its speed too",
    "--print-metrics": "use --json",
  },
};

/** What to say of an option that there isn't, if another tool has it. Its value may be a password and isn't shown. */
export function foreignHint(command: string, rawName: string): string | undefined {
  const own = BY_COMMAND[command];
  if (own !== undefined && Object.hasOwn(own, rawName)) return own[rawName];
  return Object.hasOwn(EVERYWHERE, rawName) ? EVERYWHERE[rawName] : undefined;
}

/** What to say of a first word that is no command. */
export function foreignCommand(word: string): string | undefined {
  const commands: Readonly<Record<string, string>> = {
    "-P": "sluice produce",
    "-C": "sluice tail",
    "-L": "sluice topics",
    "-Q": "sluice tail --from TIMESTAMP",
    "-G": "sluice tail, which reads without a group",
    consume: "sluice tail",
    consumer: "sluice tail",
    cat: "sluice tail",
    read: "sluice tail",
    producer: "sluice produce",
    send: "sluice produce",
    write: "sluice produce",
    topic: "sluice topics",
    metadata: "sluice topics",
    list: "sluice topics list",
    check: "sluice doctor",
    ping: "sluice doctor",
    perf: "sluice bench",
    benchmark: "sluice bench",
    mock: "sluice broker",
    server: "sluice broker",
    start: "sluice broker",
  };
  return Object.hasOwn(commands, word) ? commands[word] : undefined;
}
