/**
 * Record batches as a test wants them, right or wrong, written independently of the producer.
 *
 * @module
 */

import { crc32c } from "../../src/codec/crc32c.ts";

/** One record. */
export interface TestRecord {
  readonly key?: string | null;
  readonly value?: string | null;
  readonly timestampDelta?: number | bigint;
  readonly offsetDelta?: number;
  readonly headers?: readonly (readonly [string | null, string | null])[];
  readonly attributes?: number;
  /** Added to the length that stands before the record. */
  readonly lengthError?: number;
}

/** A batch; what isn't said is right. */
export interface TestBatch {
  readonly records?: readonly TestRecord[];
  readonly baseOffset?: bigint;
  readonly leaderEpoch?: number;
  readonly magic?: number;
  readonly attributes?: number;
  readonly lastOffsetDelta?: number;
  readonly baseTimestamp?: bigint;
  readonly maxTimestamp?: bigint;
  readonly producerId?: bigint;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly count?: number;
  /** Stands in place of the records section. */
  readonly payload?: Uint8Array;
  /** XORed into the checksum. */
  readonly crcError?: number;
  /** Added to the batch's length field. */
  readonly lengthError?: number;
}

/** The time that most tests start at. */
export const NOW = 1_767_225_600_000n;

const encoder = new TextEncoder();

/** Writes a batch. */
export function batchOf(batch: TestBatch = {}): Uint8Array<ArrayBuffer> {
  const records = batch.records ?? [{ key: "k", value: "v" }];
  const payload = batch.payload ?? section(records);
  const bytes = new Uint8Array(61 + payload.length);
  const view = new DataView(bytes.buffer);
  const baseTimestamp = batch.baseTimestamp ?? NOW;
  const deltas = records.map((record) => BigInt(record.timestampDelta ?? 0));
  const maxDelta = deltas.reduce((max, delta) => delta > max ? delta : max, deltas[0] ?? 0n);
  view.setBigInt64(0, batch.baseOffset ?? 0n);
  view.setInt32(8, bytes.length - 12 + (batch.lengthError ?? 0));
  view.setInt32(12, batch.leaderEpoch ?? -1);
  view.setInt8(16, batch.magic ?? 2);
  view.setInt16(21, batch.attributes ?? 0);
  view.setInt32(23, batch.lastOffsetDelta ?? records.length - 1);
  view.setBigInt64(27, baseTimestamp);
  view.setBigInt64(35, batch.maxTimestamp ?? baseTimestamp + maxDelta);
  view.setBigInt64(43, batch.producerId ?? -1n);
  view.setInt16(51, batch.epoch ?? -1);
  view.setInt32(53, batch.sequence ?? -1);
  view.setInt32(57, batch.count ?? records.length);
  bytes.set(payload, 61);
  view.setUint32(17, (crc32c(bytes, 21) ^ (batch.crcError ?? 0)) >>> 0);
  return bytes;
}

/** A batch of an idempotent producer with `count` records from `sequence` on. */
export function sequencedBatch(
  producerId: bigint,
  epoch: number,
  sequence: number,
  count = 1,
): Uint8Array<ArrayBuffer> {
  const records = Array.from({ length: count }, (_, i) => ({ key: `${sequence + i}`, value: "v" }));
  return batchOf({ producerId, epoch, sequence, records });
}

/** Writes the records section that is not compressed. */
export function section(records: readonly TestRecord[]): Uint8Array {
  return concat(records.map((record, i) => {
    const body: number[] = [record.attributes ?? 0];
    varlong(body, BigInt(record.timestampDelta ?? 0));
    varlong(body, BigInt(record.offsetDelta ?? i));
    sized(body, record.key ?? null);
    sized(body, record.value ?? null);
    const headers = record.headers ?? [];
    varlong(body, BigInt(headers.length));
    for (const [name, value] of headers) {
      sized(body, name);
      sized(body, value);
    }
    const length: number[] = [];
    varlong(length, BigInt(body.length + (record.lengthError ?? 0)));
    return Uint8Array.from([...length, ...body]);
  }));
}

/** Joins byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function sized(target: number[], text: string | null): void {
  if (text === null) return varlong(target, -1n);
  const bytes = encoder.encode(text);
  varlong(target, BigInt(bytes.length));
  for (const byte of bytes) target.push(byte);
}

function varlong(target: number[], value: bigint): void {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  for (; rest >= 0x80n; rest >>= 7n) target.push(Number(rest & 0x7fn) | 0x80);
  target.push(Number(rest));
}
