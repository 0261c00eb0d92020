/** What is asked about batches and records. */
import { gzipSync } from "node:zlib";

const hourMs = 3_600_000;

/** Makes the probes. */
export function recordsProbes(
  { Produce, batchOf, bodyOf, concat, dated, each, fetchOne, gzipped, now, produce, section, sequencedBatch },
) {
  return [
    {
      name: "a batch's header: checksum, counts, lengths, magic, flags",
      run: each("batches", () => ({
        "wrong checksum": dated({ crcError: 1 }),
        "too few records": dated({ count: 2, lastOffsetDelta: 1 }),
        "too many records": dated({ records: [{}, {}], count: 1, lastOffsetDelta: 0 }),
        "another last offset": dated({ lastOffsetDelta: 3 }),
        "count 0": dated({ count: 0, lastOffsetDelta: -1, payload: new Uint8Array(0) }),
        "count -1": dated({ count: -1 }),
        "no bytes": new Uint8Array(0),
        "half a batch": dated().subarray(0, 65),
        "a header": dated().subarray(0, 61),
        "a few bytes": dated().subarray(0, 11),
        "length of a gigabyte": withInt32(dated(), 8, 1 << 30),
        "length 20": withInt32(dated(), 8, 20),
        "length 2": withInt32(dated(), 8, 2),
        "length -1": withInt32(dated(), 8, -1),
        "length one less": dated({ lengthError: -1 }),
        "length one more": dated({ lengthError: 1 }),
        "magic 0": dated({ magic: 0 }),
        "magic 1": dated({ magic: 1 }),
        "magic 3": dated({ magic: 3 }),
        "magic -1": dated({ magic: -1 }),
        "base offset 1": dated({ baseOffset: 1n }),
        "leader epoch 77": dated({ leaderEpoch: 77 }),
        "control bit": dated({ attributes: 32 }),
        "timestamp type": dated({ attributes: 8 }),
        "bit 6": dated({ attributes: 64 }),
        "bit 7": dated({ attributes: 128 }),
        "bit 15": dated({ attributes: -32768 }),
        "codec 5": dated({ attributes: 5 }),
        "codec 7": dated({ attributes: 7 }),
        "two batches": concat([dated(), dated()]),
        "garbage behind": concat([dated(), Uint8Array.of(1, 2, 3, 4, 5)]),
      })),
    },
    {
      name: "a batch that no partition can be told by fails all of the request",
      run: async ({ wires }) => {
        const seen = {};
        for (const [name, bad] of Object.entries({ "magic 3": dated({ magic: 3 }), "crc": dated({ crcError: 1 }) })) {
          const wire = await wires.open();
          const { responses } = await wire.ask(Produce, 11, bodyOf([["batches", 0, bad], ["plain", 1, dated()]]));
          const parts = responses.flatMap((topic) => topic.partitionResponses);
          seen[name] = parts.map(({ errorCode, index }) => [index, errorCode]).sort();
        }
        return seen;
      },
    },
    {
      name: "null records are never answered",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = await produce(wire, "plain", null, { withinMs: 1_000 });
        return [seen, wire.isClosed];
      },
    },
    {
      name: "records: lengths, deltas, headers, timestamps",
      run: each("records", () => ({
        "attributes": dated({ records: [{ attributes: 77 }] }),
        "one byte too long": dated({ records: [{ lengthError: 1 }] }),
        "nine bytes too long": dated({ records: [{ lengthError: 9 }] }),
        "one byte too short": dated({ records: [{ lengthError: -1 }] }),
        "header with an empty name": dated({ records: [{ headers: [["", null]] }] }),
        "header without a name": dated({ records: [{ headers: [[null, "x"]] }] }),
        "deltas 1, 0": dated({ records: [{ offsetDelta: 1 }, { offsetDelta: 0 }] }),
        "deltas 0, 0": dated({ records: [{ offsetDelta: 0 }, { offsetDelta: 0 }] }),
        "deltas 0, 7": dated({ records: [{ offsetDelta: 0 }, { offsetDelta: 7 }] }),
        "negative timestamp": dated({ baseTimestamp: -5n }),
        "negative delta": dated({ records: [{ timestampDelta: -500 }] }),
        "timestamp 0": dated({ baseTimestamp: 0n }),
        "two hours ahead": dated({ baseTimestamp: now() + BigInt(2 * hourMs) }),
        "one of three ahead": dated({ records: [{}, { timestampDelta: 2 * hourMs }, {}] }),
        "nearly an hour ahead": dated({ baseTimestamp: now() + BigInt(hourMs - 20_000) }),
        "no key, no value": dated({ records: [{}] }),
      })),
    },
    {
      name: "compressed records",
      run: each("records", () => ({
        "gzip": gzipped(section([{ value: "v" }])),
        "not gzip": dated({ attributes: 1, payload: new Uint8Array(40) }),
        "gzip cut off": dated({ attributes: 1, payload: gzipSync(section([{ value: "v" }])).subarray(0, 15) }),
        "deltas 1, 0": gzipped(section([{ offsetDelta: 1 }, { offsetDelta: 0 }]), { count: 2, lastOffsetDelta: 1 }),
        "too few inside": gzipped(section([{}]), { count: 2, lastOffsetDelta: 1 }),
        "too many inside": gzipped(section([{}, {}]), { count: 1, lastOffsetDelta: 0 }),
        "one byte too long inside": gzipped(section([{ lengthError: 1 }])),
        "nine bytes too long inside": gzipped(section([{ lengthError: 9 }])),
        "one byte too short inside": gzipped(section([{ lengthError: -1 }])),
        "first of two too long": gzipped(section([{ lengthError: 1 }, {}]), { count: 2, lastOffsetDelta: 1 }),
        "header without a name inside": gzipped(section([{ headers: [[null, "x"]] }])),
        "garbage behind the records": gzipped(concat([section([{}]), Uint8Array.of(1, 2, 3)])),
        "not snappy": dated({ attributes: 2, payload: new Uint8Array(40).fill(255) }),
        "not lz4": dated({ attributes: 3, payload: new Uint8Array(40) }),
        "not zstd": dated({ attributes: 4, payload: new Uint8Array(40) }),
      })),
    },
    {
      name: "zstd below Produce 7 is 76",
      run: each("records", () => ({ zstd: dated({ attributes: 4 }) }), { version: 6 }),
    },
    {
      name: "a wrong latest timestamp is corrected on disk",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const baseTimestamp = now() - 1000n;
        const { base, error } = await produce(
          wire,
          "reading",
          batchOf({ baseTimestamp, maxTimestamp: 0n, leaderEpoch: 9 }),
        );
        const { records } = await fetchOne(wire, "reading", base);
        const view = new DataView(records.buffer, records.byteOffset);
        return [error, Number(view.getBigInt64(35) - baseTimestamp), view.getInt32(12)];
      },
    },
    {
      name: "a topic with the broker's timestamps",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const [baseTimestamp, version] of [[now(), 11], [now() + BigInt(9 * hourMs), 11], [-7n, 5], [now(), 3]]) {
          seen.push(await produce(wire, "appended", batchOf({ baseTimestamp }), { version }));
        }
        const { records } = await fetchOne(wire, "appended", 1n);
        const view = new DataView(records.buffer, records.byteOffset);
        const duplicate = sequencedBatch(4_000_080n, 0, 0);
        seen.push(await produce(wire, "appended", duplicate), await produce(wire, "appended", duplicate));
        return [seen, view.getInt16(21), Math.abs(Number(view.getBigInt64(35) - now())) < 60_000];
      },
    },
    {
      name: "a compacted topic wants keys",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const version of [7, 8, 11]) {
          for (const records of [[{ key: "k" }, { key: null }], [{ key: "" }], [{ key: "k", value: null }]]) {
            seen.push(await produce(wire, "compacted", dated({ records }), { version }));
          }
        }
        const fifteen = dated({ records: Array.from({ length: 15 }, () => ({ key: null })) });
        seen.push(await produce(wire, "compacted", fifteen));
        return seen;
      },
    },
    {
      name: "max.message.bytes counts the whole batch to the byte",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const size of [999, 1000, 1001]) {
          const overhead = dated({ records: [{ value: "x".repeat(900) }] }).length - 900;
          const batch = dated({ records: [{ value: "x".repeat(size - overhead) }] });
          seen.push(batch.length, await produce(wire, "small", batch, { partition: 1 }));
        }
        return seen;
      },
    },
    {
      name: "a batch larger than a segment is 18",
      run: each("segments", () => ({
        "a megabyte": dated({ records: [{ value: "x".repeat(1_000_000) }] }),
        "more": dated({ records: [{ value: "x".repeat(1_100_000) }] }),
      })),
    },
  ];
}

function withInt32(batch, at, value) {
  new DataView(batch.buffer).setInt32(at, value);
  return batch;
}
