/** What is asked to see where a broker hangs up: unknown APIs and versions, lengths, garbage, requests before SASL. */
import { closed } from "./probes_wire.mjs";

/** Makes the probes. */
export function hangupsProbes(
  {
    ApiVersions,
    CreateTopics,
    Fetch,
    FindCoordinator,
    InitProducerId,
    ListOffsets,
    Metadata,
    Produce,
    SaslAuthenticate,
    SaslHandshake,
  },
) {
  const software = { clientSoftwareName: "probe", clientSoftwareVersion: "1" };
  const plain = (user, password) => Buffer.from(`\0${user}\0${password}`);

  /** A request header without a body; client id null. */
  const header = (key, version, correlationId = 1, body = []) => {
    const bytes = Buffer.alloc(14 + body.length);
    bytes.writeInt32BE(bytes.length - 4);
    bytes.writeInt16BE(key, 4);
    bytes.writeInt16BE(version, 6);
    bytes.writeInt32BE(correlationId, 8);
    bytes.writeInt16BE(-1, 12);
    Buffer.from(body).copy(bytes, 14);
    return bytes;
  };

  /** A frame of so many bytes as its length says, all of them there. */
  const framed = (...bytes) => Buffer.concat([Buffer.of(0, 0, 0, bytes.length), Buffer.from(bytes)]);

  /** Writes bytes; tells which answers come, and whether the connection still serves afterwards. */
  async function conduct(wires, bytes, { answers = 1, whole = false } = {}) {
    const wire = await wires.open();
    wire.write(bytes);
    const seen = [];
    for (let i = 0; i < answers; i++) {
      const frame = await wire.frame(2_000);
      if (!Buffer.isBuffer(frame)) {
        wire.close();
        return [...seen, frame];
      }
      // Tables of versions are longer at Kafka, which has more APIs; their error code is what counts.
      seen.push(frame.subarray(0, whole ? frame.length : 6).toString("hex"));
    }
    wire.write(header(ApiVersions.key, 0, 99));
    const after = await wire.frame(2_000);
    wire.close();
    return [...seen, Buffer.isBuffer(after) ? `open ${after.readInt32BE(0)}` : after];
  }

  async function each(wires, cases, options) {
    const seen = await Promise.all(Object.values(cases).map((bytes) => conduct(wires, bytes, options)));
    return Object.fromEntries(Object.keys(cases).map((name, at) => [name, seen[at]]));
  }

  /** The range of each API as the broker itself tells it. */
  async function rangesOf(wires) {
    const wire = await wires.open();
    const { apiKeys } = await wire.ask(ApiVersions, 0, {});
    wire.close();
    return new Map(apiKeys.map(({ apiKey, maxVersion, minVersion }) => [apiKey, [minVersion, maxVersion]]));
  }

  return [
    {
      name: "hang-ups: APIs and versions that aren't there",
      run: async ({ wires }) => {
        const ranges = await rangesOf(wires);
        const cases = {};
        for (const key of [-32768, -1, 999, 32767]) cases[`API ${key}`] = header(key, 0);
        for (const api of [Produce, Fetch, ListOffsets, Metadata, CreateTopics, InitProducerId, FindCoordinator]) {
          const [min, max] = ranges.get(api.key);
          for (const version of [-32768, -1, max + 1, 127, 32767]) {
            cases[`${api.name} ${version}`] = header(api.key, version, 1, [0, 0, 0]);
          }
          if (min > 0) cases[`${api.name} ${min - 1}`] = header(api.key, min - 1);
        }
        for (const version of [0, 1, 2]) cases[`Produce ${version}`] = header(Produce.key, version);
        cases["SaslHandshake 2"] = header(SaslHandshake.key, 2);
        cases["SaslAuthenticate 3"] = header(SaslAuthenticate.key, 3);
        return await each(wires, cases);
      },
    },
    {
      name: "hang-ups: ApiVersions of any version, with and without what belongs to it",
      run: async ({ wires }) => {
        const cases = {};
        for (const version of [-32768, -1, 0, 1, 2, 3, 4, 5, 127, 32767]) {
          cases[`bare ${version}`] = header(ApiVersions.key, version);
          cases[`tagged ${version}`] = header(ApiVersions.key, version, 1, [0]);
          cases[`full ${version}`] = header(ApiVersions.key, version, 1, [0, 2, 97, 2, 49, 0]);
          cases[`long ${version}`] = header(ApiVersions.key, version, 1, [0, 2, 97, 2, 49, 0, 1, 2, 3]);
        }
        return await each(wires, cases);
      },
    },
    {
      name: "hang-ups: a refused ApiVersions request names the range, and what follows it is served",
      run: async ({ wires }) => {
        const refused = [5, 6, 127].map((version) => header(ApiVersions.key, version, version, [0]));
        return [
          await conduct(wires, Buffer.concat(refused), { answers: 3, whole: true }),
          await conduct(wires, Buffer.concat([refused[0], header(Metadata.key, 99, 2)]), { answers: 2 }),
          await conduct(wires, Buffer.concat([header(ApiVersions.key, 0, 1), header(999, 0, 2), header(18, 0, 3)]), {
            answers: 3,
          }),
        ];
      },
    },
    {
      name: "hang-ups: lengths of frames",
      run: async ({ wires }) => {
        const lengths = {};
        for (const length of [-2147483648, -1, 0, 2_000_001, 2147483647]) {
          lengths[length] = Buffer.alloc(4);
          lengths[length].writeInt32BE(length);
        }
        const request = [...header(ApiVersions.key, 0).subarray(4)];
        const short = {};
        for (let length = 1; length <= request.length; length++) {
          short[`cut to ${length}`] = framed(...request.slice(0, length));
        }
        const allowed = Buffer.alloc(4);
        allowed.writeInt32BE(2_000_000);
        return {
          ...await each(wires, lengths),
          ...await each(wires, short),
          "as long as is allowed": await conduct(wires, allowed),
        };
      },
    },
    {
      name: "hang-ups: bodies that can't be read",
      run: async ({ wires }) => {
        const cases = {};
        const bodies = [[], [255], [0, 0, 0], [127, 255, 255, 255], Array(40).fill(255)];
        for (const [api, version] of [[Metadata, 5], [Metadata, 12], [Produce, 8], [Produce, 11], [Fetch, 13]]) {
          for (const body of bodies) {
            const isFlexible = version >= api.firstFlexible;
            cases[`${api.name} ${version}: ${body}`] = header(api.key, version, 1, isFlexible ? [0, ...body] : body);
          }
        }
        return await each(wires, cases);
      },
    },
    {
      name: "hang-ups: those who speak something else",
      run: async ({ wires }) => {
        return await each(wires, {
          "HTTP": Buffer.from("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"),
          "HTTP/2": Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
          "SSH": Buffer.from("SSH-2.0-OpenSSH_9.6\r\n"),
          "TLS": Buffer.from("16030100b4010000b00303", "hex"),
          "ones": Buffer.alloc(100, 255),
          "zeros": Buffer.alloc(100),
          "text": Buffer.from("\0\0\0\x10hello, is it you?"),
        });
      },
    },
    {
      name: "hang-ups: SASL where nobody has to authenticate",
      run: async ({ wires }) => {
        const wire = await wires.open();
        const seen = [];
        for (const version of [0, 1]) seen.push(await wire.ask(SaslHandshake, version, { mechanism: "PLAIN" }));
        for (const version of [0, 1, 2]) {
          const { errorCode } = await wire.ask(SaslAuthenticate, version, { authBytes: plain("alice", "secret") });
          seen.push(errorCode);
        }
        wire.write(header(ApiVersions.key, 0, 99));
        seen.push(Buffer.isBuffer(await wire.frame()));
        return seen;
      },
    },
    {
      name: "hang-ups: requests before authentication",
      run: async ({ saslWires }) => {
        const cases = {};
        for (const version of [-1, 0, 3, 4, 5]) {
          cases[`ApiVersions ${version}`] = header(
            ApiVersions.key,
            version,
            1,
            version < 3 ? [] : [0, 2, 97, 2, 49, 0],
          );
        }
        cases["ApiVersions twice"] = Buffer.concat([header(18, 0, 1), header(18, 0, 2)]);
        cases["a bad name"] = header(ApiVersions.key, 3, 1, [0, 2, 45, 2, 49, 0]);
        cases["Metadata"] = header(Metadata.key, 0, 1, [0, 0, 0, 0]);
        cases["Metadata 99"] = header(Metadata.key, 99);
        cases["Produce"] = header(Produce.key, 8);
        cases["InitProducerId"] = header(InitProducerId.key, 0, 1, [255, 255, 0, 0, 0, 0]);
        cases["unknown API"] = header(999, 0);
        cases["SaslAuthenticate"] = header(SaslAuthenticate.key, 1, 1, [0, 0, 0, 0]);
        cases["SaslHandshake 2"] = header(SaslHandshake.key, 2, 1, [0, 5, 80, 76, 65, 73, 78]);
        cases["half a SaslHandshake"] = header(SaslHandshake.key, 1, 1, [0, 5, 80]);
        cases["length 0"] = Buffer.alloc(4);
        cases["length -1"] = Buffer.alloc(4, 255);
        cases["too long"] = Buffer.of(127, 255, 255, 255);
        cases["HTTP"] = Buffer.from("GET / HTTP/1.1\r\n\r\n");
        return await each(saslWires, cases);
      },
    },
    {
      name: "hang-ups: SASL PLAIN, step by step",
      run: async ({ saslWires }) => {
        const shake = async (mechanism, version = 1) => {
          const wire = await saslWires.open();
          return [wire, await wire.ask(SaslHandshake, version, { mechanism })];
        };
        const login = async (user, password, version = 2) => {
          const [wire] = await shake("PLAIN");
          const answer = await wire.ask(SaslAuthenticate, version, { authBytes: plain(user, password) });
          return [wire, [answer.errorCode, answer.errorMessage, answer.sessionLifetimeMs]];
        };
        const metadata = async (wire) => {
          const answer = await wire.ask(Metadata, 9, { topics: [] });
          return typeof answer === "string" ? answer : answer.brokers.length;
        };
        const seen = {};
        for (const version of [0, 1, 2]) {
          const [wire, answer] = await login("alice", "secret", version);
          seen[`good, version ${version}`] = [answer, await metadata(wire)];
        }
        for (const [user, password] of [["alice", "wrong"], ["nobody", "secret"]]) {
          const [wire, answer] = await login(user, password);
          seen[`bad, ${user}`] = [answer, await wire.frame()];
        }
        const [unknown, refusal] = await shake("SCRAM-SHA-256");
        seen["unknown mechanism"] = [refusal, await metadata(unknown)];
        for (
          const [name, api, version, body] of [
            ["Metadata", Metadata, 9, { topics: [] }],
            ["ApiVersions", ApiVersions, 3, software],
            ["InitProducerId", InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1 }],
            ["SaslHandshake", SaslHandshake, 1, { mechanism: "PLAIN" }],
          ]
        ) {
          const [wire] = await shake("PLAIN");
          seen[`${name} in place of the token`] = [await wire.ask(api, version, body), await wire.frame()];
        }
        const [raw] = await shake("PLAIN", 0);
        const token = plain("alice", "secret");
        raw.write(Buffer.concat([Buffer.of(0, 0, 0, token.length), token]));
        const empty = await raw.frame();
        seen["a raw token"] = [empty === closed ? closed : empty.length, await metadata(raw)];
        const [wire] = [await saslWires.open()];
        wire.write(Buffer.concat([
          wire.request(ApiVersions, 3, software),
          wire.request(SaslHandshake, 1, { mechanism: "PLAIN" }),
          wire.request(SaslAuthenticate, 2, { authBytes: token }),
          wire.request(Metadata, 9, { topics: [] }),
        ]));
        seen["all in one write"] = [
          (await wire.answer(ApiVersions, 3)).errorCode,
          (await wire.answer(SaslHandshake, 1)).errorCode,
          (await wire.answer(SaslAuthenticate, 2)).errorCode,
          (await wire.answer(Metadata, 9)).brokers.length,
        ];
        return seen;
      },
    },
  ];
}
