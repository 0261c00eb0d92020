import { subscribe } from "node:diagnostics_channel";

/** Sluice, from the bundle that the plan names. */
export async function open(plan) {
  const { Producer, TransactionalProducer } = await import(plan.module);
  const { ca, topic, work } = plan;
  if (work.transactional) return transactional(plan, TransactionalProducer);
  const producer = new Producer({
    brokers: plan.brokers,
    ...ca === undefined ? {} : { tls: { ca } },
    acks: work.acks,
    compression: work.codec,
    ...work.idempotent ? { idempotent: true } : {},
    ...work.observed ? observed() : {},
    ...plan.options,
  });
  return {
    version: plan.version,
    send: (key, value, partition, headers) =>
      producer.send(
        headers === undefined ? { topic, key, value, partition } : { topic, key, value, partition, headers },
      ),
    record: (key, value, headers) => headers === undefined ? { topic, key, value } : { topic, key, value, headers },
    async sendBatch(records) {
      for (const { status, reason } of await producer.sendBatch(records)) if (status === "rejected") throw reason;
    },
    produce: (key, value, onDelivery) => producer.produce({ topic, key, value }, onDelivery),
    ready: () => producer.ready(),
    flush: () => producer.flush(),
    close: () => producer.close({ timeoutMs: 10_000 }),
  };
}

/** Somebody who looks at everything that costs something for each record or batch. */
function observed() {
  const seen = { records: 0, acknowledged: 0, batches: 0, requests: 0 };
  const onBatch = () => void seen.batches++;
  subscribe("sluice:onBatch", onBatch);
  return {
    interceptors: [{
      onSend(record) {
        seen.records++;
        return record;
      },
      onAcknowledgement: () => void seen.acknowledged++,
    }],
    hooks: { onBatch, onRequest: () => void seen.requests++ },
  };
}

/** Each batch is a transaction. */
function transactional({ brokers, options, topic, version, work }, TransactionalProducer) {
  const producer = new TransactionalProducer({
    ...{ brokers, compression: work.codec, transactionalId: topic },
    ...options,
  });
  return {
    version,
    send: (key, value, partition) => producer.transaction((tx) => tx.send({ topic, key, value, partition })),
    record: (key, value) => ({ topic, key, value }),
    sendBatch: (records) =>
      producer.transaction(async (tx) => {
        for (const { status, reason } of await tx.sendBatch(records)) if (status === "rejected") throw reason;
      }),
    close: () => producer.close({ timeoutMs: 10_000 }),
  };
}
