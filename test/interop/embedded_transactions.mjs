/**
 * Transactions and groups of other people's clients on the embedded cluster, with both versions of transactions.
 *
 * Each client writes transactions and aborts one, reads as a member of a group, copies in a transaction with the
 * group's offsets, and is fenced by its own successor.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../../scripts/lib/tools.mjs";
import { runClient } from "./clients.mjs";

const count = 40;

/** Lets the clients at a cluster of each version. */
export async function runTransactions({ libs, clients, tally }) {
  const { EmbeddedCluster } = await import(pathToFileURL(join(root, "dist/src/testing/mod.js")).href);
  for (const release of ["3.9", "4.1"]) {
    const topics = Object.fromEntries(clients.flatMap((name) => [[`${name}-in`, 3], [`${name}-out`, 3]]));
    // So long that clients meet it: they begin, and Java's aborts, while the last transaction is being completed.
    const cluster = new EmbeddedCluster({ brokers: 3, release, topics, transactions: { markerLagMs: 50 } });
    const { address: brokers } = await cluster.listen();
    try {
      await Promise.all(clients.map(async (name) => {
        const ids = { id: `${name}-id`, group: `${name}-group`, input: `${name}-in`, output: `${name}-out` };
        const found = await runClient(name, libs, "transact", { brokers, count, ...ids }).catch((error) => error);
        const problems = found instanceof Error ? [found.message] : problemsOf(found[0], cluster, ids);
        tally.check(`embedded broker ${release}: transactions and groups of ${name}`, problems);
      }));
      tally.check(`embedded broker ${release}: nothing went wrong inside`, cluster.failures.map(String));
    } finally {
      await cluster.close();
    }
  }
}

function problemsOf({ copied, read, zombie }, cluster, { group, id, input }) {
  const wanted = ["first", "second"].flatMap((name) => Array.from({ length: count }, (_, i) => `${name} ${i}`)).sort();
  const problems = [];
  const compare = (what, seen, expected) => {
    if (JSON.stringify(seen) !== JSON.stringify(expected)) problems.push(`${what}: ${JSON.stringify(seen)}`);
  };
  compare("read", [...read].sort(), wanted);
  compare("copied", [...copied].sort(), wanted);
  compare("zombie", zombie, "fenced");
  // Else it would show nothing that aborted records are not read. Markers come on top.
  const written = [0, 1, 2].reduce((sum, partition) => sum + Number(cluster.endOffset(input, partition)), 0);
  if (written <= 3 * count) problems.push(`The aborted records are not in the log: it ends at ${written} in all`);
  for (const partition of [0, 1, 2]) {
    const committed = cluster.groups.committed(group, input, partition) ?? 0n;
    // Markers are behind the last record; who counts records only stops before them.
    const behind = cluster.endOffset(input, partition) - committed;
    if (behind < 0n || behind > 1n) problems.push(`partition ${partition}: ${behind} behind the group's offset`);
  }
  const { state } = cluster.transactions.describe(id);
  if (state === "Ongoing") problems.push(`The transaction is ${state}`);
  return problems;
}
