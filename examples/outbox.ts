/**
 * The outbox: an order and the event that tells of it are written in one transaction of SQLite, and a relay sends what is
 * in the outbox. However the program ends, even by kill -9, no event is lost: start it again and it goes on.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic outbox.event.order:3 &
 *     node examples/outbox.ts shop.db 1000
 *
 * A row is deleted when its record is acknowledged. If the program ends between the two, the record is sent once more:
 * readers pass over a second one with the same header `id`.
 */

import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Producer } from "@sluice/kafka";
import { outboxRecord, type OutboxRow } from "@sluice/kafka/headers";

const [path = "shop.db", wanted = "1000"] = process.argv.slice(2);

const db = new DatabaseSync(path);
db.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, total INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, aggregatetype TEXT NOT NULL, aggregateid TEXT NOT NULL, type TEXT NOT NULL,
    payload TEXT NOT NULL
  );
`);
const statements = {
  count: db.prepare("SELECT count(*) AS orders FROM orders"),
  order: db.prepare("INSERT INTO orders (id, customer, total) VALUES (?, ?, ?)"),
  event: db.prepare("INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES (?, ?, ?, ?)"),
  next: db.prepare("SELECT * FROM outbox ORDER BY id LIMIT 200"),
  done: db.prepare("DELETE FROM outbox WHERE id = ?"),
};

/** What a shop does: the order is in the database if, and only if, its event is in the outbox. */
function placeOrder(id: number): void {
  const [customer, total] = [id % 7, id * 100];
  db.exec("BEGIN IMMEDIATE");
  statements.order.run(id, customer, total);
  statements.event.run("order", String(customer), "OrderPlaced", JSON.stringify({ id, customer, total }));
  db.exec("COMMIT");
}

// With `gapless` nothing of a customer overtakes a record that has failed: the rows behind it fail too, and are sent again.
const producer = new Producer({
  brokers: process.env["KAFKA_BROKERS"] ?? "localhost:9092",
  gapless: true,
  lingerMs: 5,
});

/** Sends what is in the outbox, in its order, and deletes what has arrived. */
async function relay(): Promise<number> {
  const rows = statements.next.all() as unknown as OutboxRow[];
  const results = await producer.sendBatch(rows.map((row) => outboxRecord(row, { typeHeader: "eventType" })));
  const delivered = rows.filter((_, index) => results[index]?.status === "fulfilled");
  db.exec("BEGIN IMMEDIATE");
  for (const { id } of delivered) statements.done.run(id);
  db.exec("COMMIT");
  return rows.length;
}

let { orders } = statements.count.get() as { orders: number };
console.log(`${orders} orders are there`);
while (orders < Number(wanted)) {
  for (let i = 0; i < 50 && orders < Number(wanted); i++) placeOrder(orders++);
  console.log(`${orders} orders are placed`);
  await relay();
  await sleep(1);
}
while (await relay() > 0);
await producer.close();
db.close();
console.log("every event has arrived");
