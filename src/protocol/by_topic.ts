/**
 * Partitions as requests name them: topic by topic.
 *
 * @module
 */

/** Gathers the entries of partitions under their topics; both stay in the order in which they came. */
export function byTopic<P extends { readonly topic: string }, E>(
  partitions: Iterable<P>,
  entryOf: (partition: P) => E,
): [topic: string, entries: E[]][] {
  const topics = new Map<string, E[]>();
  for (const partition of partitions) {
    const entries = topics.get(partition.topic);
    if (entries === undefined) topics.set(partition.topic, [entryOf(partition)]);
    else entries.push(entryOf(partition));
  }
  return [...topics];
}
