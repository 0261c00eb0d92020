/** Sluice, from the bundle that the plan names. */
export async function open(plan) {
  const { Producer } = await import(plan.module);
  const { topic, work } = plan;
  const producer = new Producer({
    brokers: plan.brokers,
    acks: work.acks,
    compression: work.codec,
    ...work.idempotent ? { idempotent: true } : {},
    ...plan.options,
  });
  return {
    version: plan.version,
    send: (key, value, partition) => producer.send({ topic, key, value, partition }),
    record: (key, value) => ({ topic, key, value }),
    async sendBatch(records) {
      for (const { status, reason } of await producer.sendBatch(records)) if (status === "rejected") throw reason;
    },
    produce: (key, value, onDelivery) => producer.produce({ topic, key, value }, onDelivery),
    ready: () => producer.ready(),
    flush: () => producer.flush(),
    close: () => producer.close({ timeoutMs: 10_000 }),
  };
}
