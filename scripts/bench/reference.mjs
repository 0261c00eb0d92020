/**
 * A fixed piece of work in plain JavaScript, of the kind that a producer does: copies, varints, checksums, promises.
 * Prints its CPU time, by which the check measures how fast the machine is at the moment.
 */
import { Buffer } from "node:buffer";
import process from "node:process";

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});
const value = Buffer.alloc(256, "v");
const batch = Buffer.alloc(1 << 20);

let resolveTaken;
const take = (resolve) => resolveTaken = resolve;

let settled = 0;
let checksum = 0;
for (let round = 0; round < 150; round++) {
  const resolves = [];
  let at = 0;
  for (let i = 0; i < 2_000; i++) {
    for (let rest = i + 300; rest > 0; rest >>>= 7) batch[at++] = (rest & 0x7f) | 0x80;
    batch.set(value, at);
    at += value.length;
    new Promise(take).then(() => settled++);
    resolves.push(resolveTaken);
  }
  let crc = -1;
  for (let i = 0; i < at; i++) crc = table[(crc ^ batch[i]) & 0xff] ^ (crc >>> 8);
  checksum ^= crc;
  for (const resolve of resolves) resolve(round);
  await null;
}
const { user, system } = process.cpuUsage();
console.log(`@@result ${JSON.stringify({ cpuMs: (user + system) / 1000, settled, checksum })}`);
