/**
 * What can be written after `sluice`: one table that the parser and the help are made from.
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
  /** Its options, in the order of the help. */
  readonly options: readonly OptionSpec[];
  /** What else the help says. */
  readonly epilogue: string;
}

const help: OptionSpec = { name: "help", short: "h", help: "Print this help" };

/** `sluice produce`. */
export const produceSpec: CommandSpec = {
  name: "produce",
  usage: "sluice produce --brokers HOST:PORT[,…] --topic TOPIC [options] [FILE]",
  summary: "Write the lines or JSON records of FILE (or of standard input) to a topic.",
  options: [
    { name: "brokers", short: "b", value: "LIST", help: "Brokers to start from [default: $KAFKA_BROKERS]" },
    { name: "topic", short: "t", value: "NAME", help: "Topic to write to" },
    {
      name: "format",
      short: "f",
      value: "FORMAT",
      help: "lines, ndjson or json (one array) [default: by the file's name, else lines]",
    },
    { name: "key-separator", short: "k", value: "TEXT", help: "lines: what stands between key and value" },
    { name: "key-field", value: "PATH", help: "ndjson, json: field that becomes the key (a.b leads into objects)" },
    { name: "null-marker", value: "TEXT", help: "lines: a key or value that is exactly this is null" },
    { name: "header", short: "H", value: "NAME=VALUE", multiple: true, help: "Header of every record; repeatable" },
    { name: "partition", short: "p", value: "N", help: "Partition for every record [default: by key, else sticky]" },
    {
      name: "compression",
      short: "z",
      value: "CODEC",
      help: "none, gzip, snappy, lz4 or zstd [default: none]",
    },
    { name: "level", value: "N", help: "Compression level of the codec" },
    { name: "acks", short: "a", value: "ACKS", help: "all, 1 or 0 [default: all]" },
    { name: "linger-ms", value: "MS", help: "How long a record may wait for company [default: 0]" },
    { name: "batch-size", value: "BYTES", help: "Largest batch [default: grows up to 1000000 while a broker is busy]" },
    { name: "timeout-ms", value: "MS", help: "Give up on a record after so long [default: 60000]" },
    { name: "client-id", value: "NAME", help: "Name in the broker's logs and quotas [default: sluice]" },
    {
      name: "property",
      short: "X",
      value: "NAME=VALUE",
      multiple: true,
      help: "Any other option of Producer, such as maxInFlight=1; repeatable",
    },
    { name: "progress", value: "WHEN", help: "auto (on a terminal), always, json (lines) or never [default: auto]" },
    { name: "quiet", short: "q", help: "Print neither progress nor summary" },
    { name: "json", help: "Print the summary as one line of JSON" },
    help,
  ],
  epilogue: `Exit codes: 0 all records were delivered · 1 some were not, or no broker answered · 2 wrong usage or input;
what was read before a wrong line is delivered and counted · 130 interrupted.

Examples:
  sluice produce -b localhost:9092 -t people people.ndjson --key-field id --compression gzip
  printf 'k1:v1\\nk2:v2\\n' | sluice produce -b localhost:9092 -t pairs --key-separator :`,
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
    { name: "tls", help: "Speak TLS, with a certificate made for the occasion; its authority is printed in PEM" },
    help,
  ],
  epilogue: `The first line on standard output is "Listening on HOST:PORT".`,
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
  epilogue: `The first line on standard output is "Listening on ws://HOST:PORT". Clients connect by
webSocketConnect("ws://HOST:PORT", { token }) of "@sluice/kafka/sockets".`,
};

/** Every command. */
export const commandSpecs: readonly CommandSpec[] = [produceSpec, brokerSpec, proxySpec];

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

/** What `sluice COMMAND --help` prints. */
export function helpOf(spec: CommandSpec): string {
  const heads = spec.options.map((option) => {
    const short = option.short === undefined ? "    " : `-${option.short}, `;
    return `${short}--${option.name}${option.value === undefined ? "" : ` ${option.value}`}`;
  });
  const width = Math.max(...heads.map((head) => head.length));
  const lines = spec.options.map((option, index) => `  ${heads[index]!.padEnd(width)}  ${option.help}`).join("\n");
  return `${spec.summary}\n\nUsage: ${spec.usage}\n\nOptions:\n${lines}\n\n${spec.epilogue}\n`;
}
