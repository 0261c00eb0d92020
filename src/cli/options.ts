/**
 * What can be written after `sluice`: one table that the parser, the help, the completion and the reference are made
 * from.
 *
 * @module
 */

/** One option of a command. */
export interface OptionSpec {
  /** The name after the two dashes. */
  readonly name: string;
  /** The one letter after a single dash. */
  readonly short?: string;
  /** What stands for the value in the help; without one the option is a switch. */
  readonly value?: string;
  /** The values that there are, for the completion. */
  readonly choices?: readonly string[];
  /** The option may be given more than once. */
  readonly multiple?: boolean;
  /** What it does, with its default. */
  readonly help: string;
}

/** A command and its options. */
export interface CommandSpec {
  /** The word after `sluice`. */
  readonly name: string;
  /** How to write it. */
  readonly usage: string;
  /** What it does, in one sentence. */
  readonly summary: string;
  /** Words that may follow the name, for the completion. */
  readonly actions?: readonly string[];
  /** Its options, in the order of the help. */
  readonly options: readonly OptionSpec[];
  /** What an exit code says, besides 0 and 2 (wrong usage). */
  readonly exitCodes: string;
  /** What else the help says. */
  readonly notes?: string;
  /** Command lines that work. */
  readonly examples: readonly string[];
}

const help: OptionSpec = { name: "help", short: "h", help: "Print this help" };
const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];
const brokers: OptionSpec = {
  name: "brokers",
  short: "b",
  value: "LIST",
  help: "Brokers to start from, HOST:PORT,… [default: $KAFKA_BROKERS]",
};
/** Who a client is and what it may be told, for each command that has one. */
const connection: readonly OptionSpec[] = [
  {
    name: "config",
    short: "F",
    value: "FILE",
    help: "Properties of the client, NAME=VALUE lines or JSON [default: $SLUICE_CONFIG]",
  },
  {
    name: "property",
    short: "X",
    value: "NAME=VALUE",
    multiple: true,
    help: "Property by our name, Java's or librdkafka's; repeatable; -X list prints them",
  },
  { name: "client-id", value: "NAME", help: "Name in the broker's logs and quotas [default: sluice]" },
];
const acks: OptionSpec = {
  name: "acks",
  short: "a",
  value: "ACKS",
  choices: ["all", "1", "0"],
  help: "all, 1 or 0 [default: all]",
};
const compression: readonly OptionSpec[] = [
  {
    name: "compression",
    short: "z",
    value: "CODEC",
    choices: CODECS,
    help: "none, gzip, snappy, lz4 or zstd [default: none]",
  },
  { name: "level", value: "N", help: "Compression level of the codec" },
];
const LETTERS =
  `Letters of templates: %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %s value, %h headers,
%K %S lengths of key and value (-1 for null), %R length of the value as four bytes, %% a percent sign.
In templates and separators \\n, \\r, \\t, \\0, \\\\ and \\xHH stand for bytes.`;

/** `sluice produce`. */
export const produceSpec: CommandSpec = {
  name: "produce",
  usage: "sluice produce --brokers HOST:PORT[,…] --topic TOPIC [options] [FILE…]",
  summary: "Write the lines or JSON records of files (or of standard input) to a topic.",
  options: [
    brokers,
    { name: "topic", short: "t", value: "NAME", help: "Topic to write to [default with envelopes: each record's own]" },
    {
      name: "format",
      short: "f",
      value: "FORMAT",
      choices: ["lines", "ndjson", "json", "envelope"],
      help: "lines, ndjson, json (one array) or envelope [default: by the file's name, else lines]",
    },
    { name: "key-separator", short: "K", value: "TEXT", help: "lines: what stands between key and value" },
    { name: "headers-separator", value: "TEXT", help: "lines: what stands behind NAME:VALUE,… at the front of a line" },
    {
      name: "delimiter",
      short: "D",
      value: "TEXT",
      help: "lines: what stands between records [default: \\n or \\r\\n; a byte order mark is left out]",
    },
    { name: "empty-as-null", short: "Z", help: "lines: an empty key or value is null" },
    { name: "null-marker", value: "TEXT", help: "lines: a key or value that is exactly this is null" },
    { name: "key-field", value: "PATH", help: "ndjson, json: field that becomes the key (a.b leads into objects)" },
    {
      name: "key",
      short: "k",
      value: "TEXT",
      help: "Key of records that have none, and of lines without the separator of -K",
    },
    { name: "header", short: "H", value: "NAME=VALUE", multiple: true, help: "Header of every record; repeatable" },
    {
      name: "partition",
      short: "p",
      value: "N",
      help: "Partition of every record; any: by key, whatever envelopes say [default: by key]",
    },
    { name: "lines", short: "l", help: "Accepted as kcat's: files are read record by record with or without it" },
    { name: "gunzip", help: "Unpack the input; files named .gz are unpacked without it" },
    { name: "count", short: "c", value: "N", help: "Stop after so many records" },
    { name: "rate", value: "N", help: "At most so many records per second" },
    ...compression,
    acks,
    { name: "linger-ms", value: "MS", help: "How long a record may wait for company [default: 0]" },
    { name: "batch-size", value: "BYTES", help: "Largest batch [default: grows up to 1000000 while a broker is busy]" },
    { name: "timeout-ms", value: "MS", help: "Give up on a record after so long [default: 60000]" },
    ...connection,
    { name: "dry-run", help: "Read and check everything, send nothing" },
    { name: "tee", short: "T", help: "Print each value that is sent; the summary goes to standard error" },
    {
      name: "output",
      short: "o",
      value: "TEMPLATE",
      help: "Print this of each delivered record; the summary goes to standard error",
    },
    {
      name: "progress",
      value: "WHEN",
      choices: ["auto", "always", "json", "never"],
      help: "auto (on a terminal), always, json (lines) or never [default: auto]",
    },
    { name: "quiet", short: "q", help: "Print neither progress nor summary" },
    { name: "json", help: "Print the summary as one line of JSON" },
    help,
  ],
  exitCodes:
    "1 some records were not delivered, or no broker answered; what was read before a wrong line is delivered and " +
    "counted; 130 interrupted",
  notes: `Where lines are typed, Ctrl-D ends the last one.
An envelope is a line of JSON with topic, key, value (or payload), headers, partition and timestamp, as
sluice tail --json, kcat -J and rpk print them.
${LETTERS}`,
  examples: [
    "sluice produce -b localhost:9092 -t people people.ndjson --key-field id --compression gzip",
    "printf 'k1\\tv1\\nk2\\tv2\\n' | sluice produce -b localhost:9092 -t pairs -K '\\t'",
    "sluice tail orders --from beginning --exit --json | sluice produce -f envelope -t copy -p any",
  ],
};

/** `sluice tail`. */
export const tailSpec: CommandSpec = {
  name: "tail",
  usage: "sluice tail --brokers HOST:PORT[,…] [options] TOPIC",
  summary: "Print the records of a topic, and go on with those that come.",
  options: [
    brokers,
    { name: "topic", short: "t", value: "NAME", help: "Topic to read, also without the option" },
    {
      name: "from",
      short: "o",
      value: "PLACE",
      choices: ["beginning", "end"],
      help: "beginning, end, OFFSET, -N (the last N of each partition) or TIME [default: -10]",
    },
    { name: "to", value: "PLACE", choices: ["end"], help: "Stop before end (as of now), OFFSET or TIME" },
    { name: "exit", short: "e", help: "Stop at the end, as --to end" },
    { name: "count", short: "c", value: "N", help: "Stop after so many records" },
    { name: "partition", short: "p", value: "LIST", help: "Partitions to read, such as 0,3 [default: all]" },
    { name: "format", short: "f", value: "TEMPLATE", help: "What is printed of each record [default: %s\\n]" },
    { name: "key-separator", short: "K", value: "TEXT", help: "Print the key and this before each value" },
    { name: "delimiter", short: "D", value: "TEXT", help: "What is printed behind each value [default: \\n]" },
    { name: "json", short: "J", help: "Print each record as a line of JSON that sluice produce -f envelope reads" },
    { name: "null-text", short: "Z", help: 'Print "NULL" for a key or value that is null [default: nothing]' },
    {
      name: "isolation",
      value: "LEVEL",
      choices: ["read_committed", "read_uncommitted"],
      help: "read_committed or read_uncommitted [default: read_committed]",
    },
    { name: "timeout-ms", value: "MS", help: "Give up on brokers and topic after so long [default: 10000]" },
    ...connection,
    { name: "quiet", short: "q", help: "No remarks on standard error" },
    help,
  ],
  exitCodes:
    "1 no broker answered or the topic can't be read; 130 interrupted before it began, or before an end that " +
    "was asked for (without one, an interrupt is the regular end: 0)",
  notes: `TIME is 2026-01-31, 2026-01-31T12:00:00Z, @MS since 1970, or @-1h (ms, s, m, h, d ago).
On a terminal what it would obey is escaped; into files and pipes bytes go as they are.
${LETTERS}`,
  examples: [
    "sluice tail -b localhost:9092 orders",
    "sluice tail -b localhost:9092 orders --from beginning --exit --json > orders.ndjson",
    "sluice tail -b localhost:9092 orders --from @-1h --format '%p %o %k %s\\n'",
  ],
};

/** `sluice doctor`. */
export const doctorSpec: CommandSpec = {
  name: "doctor",
  usage: "sluice doctor --brokers HOST:PORT[,…] [options] [TOPIC]",
  summary: "Go the way of a record step by step, and say where it ends and what to do.",
  options: [
    brokers,
    { name: "topic", short: "t", value: "NAME", help: "Topic to look at, also without the option" },
    { name: "write", short: "w", help: "Write a test record to the topic" },
    { name: "timeout-ms", value: "MS", help: "How long each step may take [default: 5000]" },
    ...connection,
    { name: "json", short: "J", help: "Print one line of JSON at the end" },
    help,
  ],
  exitCodes: "1 a step has failed (what is only worth a warning doesn't count); 130 interrupted",
  notes:
    `Steps: resolve the host, dial, TLS, versions, SASL, the cluster, each broker at the address that it advertises,
the topic, what may be done with it, and a record with --write.`,
  examples: ["sluice doctor -b localhost:9092 orders --write"],
};

/** What `sluice topics` can do. */
export const TOPIC_ACTIONS = ["list", "describe", "create", "delete", "alter", "configs"] as const;

/** `sluice topics`. */
export const topicsSpec: CommandSpec = {
  name: "topics",
  usage: "sluice topics [list|describe|create|delete|alter|configs] --brokers HOST:PORT[,…] [options] [TOPIC…]",
  summary: "List, describe, create, delete and change topics and their configs.",
  actions: TOPIC_ACTIONS,
  options: [
    brokers,
    { name: "partitions", short: "p", value: "N", help: "create, alter: how many partitions [default: the broker's]" },
    { name: "replication-factor", short: "r", value: "N", help: "create: on how many brokers [default: the broker's]" },
    {
      name: "set",
      value: "NAME=VALUE",
      multiple: true,
      help: "create, alter: config such as retention.ms=3600000; repeatable",
    },
    { name: "unset", value: "NAME", multiple: true, help: "alter: config that falls back to its default; repeatable" },
    { name: "all", help: "list: Kafka's own topics too; configs: those that nobody has set too" },
    { name: "if-not-exists", help: "create: no failure when the topic is there" },
    { name: "if-exists", help: "delete: no failure when the topic is gone" },
    { name: "dry-run", help: "create, alter: only ask whether it could be done" },
    { name: "timeout-ms", value: "MS", help: "Give up after so long [default: 10000]" },
    ...connection,
    { name: "json", short: "J", help: "Print a line of JSON for each topic" },
    { name: "quiet", short: "q", help: "Say nothing of what was done" },
    help,
  ],
  exitCodes: "1 a topic was refused, or no broker answered; 130 interrupted",
  examples: [
    "sluice topics -b localhost:9092",
    "sluice topics create -b localhost:9092 orders --partitions 12 --set retention.ms=3600000",
    "sluice topics alter -b localhost:9092 orders --set cleanup.policy=compact --unset retention.ms",
  ],
};

/** `sluice bench`. */
export const benchSpec: CommandSpec = {
  name: "bench",
  usage: "sluice bench --brokers HOST:PORT[,…] [options] TOPIC",
  summary: "Write made-up records to a topic, and tell how many a second it takes and how long each is on its way.",
  options: [
    brokers,
    { name: "topic", short: "t", value: "NAME", help: "Topic to write to, also without the option" },
    { name: "count", short: "c", value: "N", help: "How many records [default: 100000]" },
    { name: "size", short: "s", value: "BYTES", help: "Size of each value [default: 100]" },
    { name: "keys", short: "k", value: "N", help: "How many different keys, at most 100000 [default: 0, no keys]" },
    {
      name: "payload",
      value: "KIND",
      choices: ["words", "random"],
      help: "words (a codec makes them smaller) or random (none does) [default: words]",
    },
    { name: "rate", value: "N", help: "At most so many records per second; latencies are those of this load then" },
    ...compression,
    acks,
    { name: "linger-ms", value: "MS", help: "How long a record may wait for company [default: 0]" },
    { name: "batch-size", value: "BYTES", help: "Largest batch [default: grows up to 1000000 while a broker is busy]" },
    { name: "timeout-ms", value: "MS", help: "Give up on a record after so long [default: 60000]" },
    ...connection,
    { name: "quiet", short: "q", help: "Print nothing but complaints" },
    { name: "json", short: "J", help: "Print one line of JSON" },
    help,
  ],
  exitCodes: "1 some records were not delivered, or no broker answered; 130 interrupted",
  notes: `Without --rate the buffer is kept full, and most of a record's latency is the time that it waits there.`,
  examples: [
    "sluice bench -b localhost:9092 trial --count 1000000 --size 200 --compression lz4",
    "sluice bench -b localhost:9092 trial --count 20000 --rate 2000",
  ],
};

/** `sluice broker`. */
export const brokerSpec: CommandSpec = {
  name: "broker",
  usage: "sluice broker [options]",
  summary: "Run the embedded broker, in memory, until interrupted. For tests and trials; nothing is kept.",
  options: [
    { name: "port", value: "N", help: "Port of the first broker; 0 takes a free one [default: 9092]" },
    { name: "host", value: "HOST", help: "Address to listen on [default: 127.0.0.1]" },
    { name: "brokers", value: "N", help: "How many brokers, on ports in a row [default: 1]" },
    { name: "topic", value: "NAME[:PARTITIONS]", multiple: true, help: "Topic to create; repeatable" },
    { name: "auto-create", help: "Create a topic when a client that allows it asks for it" },
    {
      name: "user",
      value: "NAME=PASSWORD",
      multiple: true,
      help: "Demand SASL (PLAIN, SCRAM) of everybody; repeatable",
    },
    { name: "tls", help: "Speak TLS, with a certificate made for the occasion; its authority is printed in PEM" },
    { name: "fault", value: "API:WHAT[:TIMES]", multiple: true, help: "Go wrong with requests of an API; repeatable" },
    { name: "print", help: "Print each record that arrives" },
    { name: "format", short: "f", value: "TEMPLATE", help: "How it is printed [default: %t [%p] at %o: %k %s\\n]" },
    help,
  ],
  exitCodes: "1 the port is taken; an interrupt is the regular end: 0",
  notes: `The first line on standard output is "Listening on HOST:PORT,…"; with --tls what follows makes it a file for
-X ssl.ca.location=FILE.
WHAT is the name of an error such as NOT_LEADER_OR_FOLLOWER, drop (the connection, unserved), drop-after (served and
unanswered), silence, or delay=MS.
${LETTERS}`,
  examples: [
    "sluice broker --topic orders:3 --print",
    "sluice broker --brokers 3 --topic orders:6 --fault Produce:NOT_LEADER_OR_FOLLOWER:2 --fault Metadata:delay=500",
  ],
};

/** `sluice proxy`. */
export const proxySpec: CommandSpec = {
  name: "proxy",
  usage: "sluice proxy --allow HOST:PORT[,…] [options]",
  summary: "Lead producers that have WebSockets only, such as pages in a browser, to brokers.",
  options: [
    {
      name: "allow",
      value: "LIST",
      multiple: true,
      help: "Brokers it leads to, HOST:PORT or *.DOMAIN:PORT; repeatable",
    },
    { name: "port", value: "N", help: "Port to listen on; 0 takes a free one [default: 8080]" },
    { name: "host", value: "HOST", help: "Address to listen on [default: 127.0.0.1]" },
    { name: "token-file", value: "FILE", help: "What clients must know [default: $SLUICE_PROXY_TOKEN]" },
    { name: "without-token", help: "Listen on other addresses than this machine's own without a token" },
    {
      name: "origin",
      value: "ORIGIN",
      multiple: true,
      help: "Pages that may come; * is all [default: none]; repeatable",
    },
    { name: "cert", value: "FILE", help: "Certificate for wss:, in PEM" },
    { name: "key", value: "FILE", help: "Its key, in PEM" },
    { name: "broker-tls", help: "Speak TLS with the brokers" },
    { name: "broker-ca", value: "FILE", help: "Who vouches for the brokers, in PEM; implies --broker-tls" },
    { name: "max-connections", value: "N", help: "Connections at a time [default: 100]" },
    { name: "max-bytes", value: "N", help: "Bytes that a connection may carry [default: no limit]" },
    { name: "max-idle-ms", value: "MS", help: "End what is idle for so long [default: 600000]" },
    { name: "verbose", help: "Say why clients are refused" },
    help,
  ],
  exitCodes: "1 the port is taken; an interrupt is the regular end: 0",
  notes: `The first line on standard output is "Listening on ws://HOST:PORT". Clients connect by
webSocketConnect("ws://HOST:PORT", { token }) of "@sluice/kafka/sockets".`,
  examples: ["sluice proxy --allow broker-1.example:9092,broker-2.example:9092 --origin https://shop.example"],
};

/** `sluice completion`. */
export const completionSpec: CommandSpec = {
  name: "completion",
  usage: "sluice completion bash|zsh|fish",
  summary: "Print a script with which a shell completes commands, options and their values.",
  actions: ["bash", "zsh", "fish"],
  options: [help],
  exitCodes: "there are no others",
  examples: ['eval "$(sluice completion bash)"', "sluice completion fish | source"],
};

/** Every command. */
export const commandSpecs: readonly CommandSpec[] = [
  ...[produceSpec, tailSpec, topicsSpec, doctorSpec, benchSpec, brokerSpec, proxySpec, completionSpec],
];

/** What `sluice --help` prints. */
export function overview(version: string): string {
  const width = Math.max(...commandSpecs.map((spec) => spec.name.length));
  const commands = commandSpecs.map((spec) => `  sluice ${spec.name.padEnd(width)}  ${spec.summary}`).join("\n");
  return `sluice ${version}: a Kafka producer for Node, Deno, Bun and Workers

Usage:
${commands}

  sluice COMMAND --help  The options of a command
  sluice --version       The version
`;
}

/** An option as it is written, such as `-b, --brokers LIST`. */
export function headOf(option: OptionSpec): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  return `${short}--${option.name}${option.value === undefined ? "" : ` ${option.value}`}`;
}

/** What `sluice COMMAND --help` prints. */
export function helpOf(spec: CommandSpec): string {
  const heads = spec.options.map(headOf);
  const width = Math.max(...heads.map((head) => head.length));
  const lines = spec.options.map((option, index) => `  ${heads[index]!.padEnd(width)}  ${option.help}`).join("\n");
  const notes = spec.notes === undefined ? "" : `\n${spec.notes}\n`;
  const examples = spec.examples.map((example) => `  ${example}\n`).join("");
  return `${spec.summary}\n\nUsage: ${spec.usage}\n\nOptions:\n${lines}\n${notes}\n` +
    `${wrapped(`Exit codes: 0 done; ${spec.exitCodes}; 2 wrong usage or input.`)}\n\nExamples:\n${examples}`;
}

/** Text in lines of at most 115 characters. */
function wrapped(text: string): string {
  return text.replace(/(.{1,115})(?: |$)/g, "$1\n").trimEnd();
}
