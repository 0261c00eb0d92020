/**
 * What goes wrong, one scenario after the other. Each is `{ plan(dice), faults(rig), rules }`: what the producers do,
 * what is done to them, and which invariants hold besides V1, V3, V5 and V6, which always do.
 *
 * `rig` has `cluster`, `topics`, `trace`, `sleep(ms)`, `isOver()`, `settle(withinMs)`; `dice` for the schedule, and
 * `noise` for what is thrown for every frame, so that traffic doesn't change the schedule of a seed.
 */

const short = { requestTimeoutMs: 2_000, connectTimeoutMs: 2_000 };
/** All faults are over long before this, so that nothing may fail. */
const patient = { ...short, deliveryTimeoutMs: 60_000 };

const exact = ["V2", "V4"];
const delivered = [...exact, "all delivered"];

export const scenarios = {
  "lost answers": {
    plan: (dice) => ({ producers: [one(dice, patient, 11_000), one(dice, patient, 11_000)] }),
    async faults({ cluster, dice, noise, sleep, isOver }) {
      for (const proxy of cluster.proxies) {
        proxy.slow = { latencyMs: dice.between(0, 20), jitterMs: 20 };
        proxy.rules.response = ({ api }) => {
          if (!noise.chance(api === 0 ? 0.06 : 0.03)) return undefined;
          return noise.pick(["swallow", "swallow", "truncate", "silence"]);
        };
      }
      while (!isOver()) await sleep(200);
    },
    rules: delivered,
  },

  "resets in a request": {
    plan: (dice) => ({ producers: [one(dice, patient, 11_000), one(dice, patient, 11_000)] }),
    async faults({ cluster, dice, noise, sleep, isOver }) {
      for (const proxy of cluster.proxies) {
        proxy.slow = { latencyMs: dice.between(0, 20), jitterMs: 20 };
        proxy.rules.request = ({ api }) => {
          if (!noise.chance(api === 0 ? 0.07 : 0.03)) return undefined;
          return noise.pick(["reset before", "reset half", "reset after"]);
        };
      }
      while (!isOver()) await sleep(200);
    },
    rules: delivered,
  },

  "black hole": {
    plan: (dice) => ({ producers: [one(dice, patient, 12_000), one(dice, patient, 12_000)] }),
    async faults({ cluster, dice, sleep, isOver }) {
      while (!isOver()) {
        const proxy = dice.pick(cluster.proxies);
        proxy.hole();
        if (dice.chance(0.5)) proxy.greeting = "hole";
        await sleep(dice.between(500, 3_500));
        proxy.greeting = "";
        if (dice.chance(0.5)) await proxy.heal();
        await sleep(dice.between(300, 1_500));
      }
    },
    rules: [...delivered, "few dials"],
  },

  "late delivery": {
    plan: (dice) => ({ producers: [one(dice, patient, 12_000), one(dice, patient, 12_000)] }),
    async faults({ cluster, dice, sleep, isOver }) {
      while (!isOver()) {
        const proxy = dice.pick(cluster.proxies);
        proxy.hold();
        await sleep(dice.between(300, 5_000));
        proxy.release();
        await sleep(dice.between(100, 800));
      }
    },
    rules: delivered,
  },

  "slow link": {
    plan: (dice) => ({ producers: [one(dice, patient, 11_000), one(dice, patient, 11_000)] }),
    async faults({ cluster, dice, sleep, isOver }) {
      while (!isOver()) {
        for (const proxy of cluster.proxies) {
          proxy.slow = dice.pick([
            undefined,
            { latencyMs: dice.between(50, 900), jitterMs: dice.between(0, 300) },
            { latencyMs: dice.between(5, 100), bytesPerMs: dice.between(20, 200) },
          ]);
        }
        await sleep(dice.between(1_000, 2_500));
      }
    },
    rules: delivered,
  },

  "refused": {
    plan: (dice) => ({ producers: [one(dice, patient, 13_000)] }),
    async faults({ cluster, dice, sleep, isOver }) {
      while (!isOver()) {
        const proxies = dice.chance(0.3) ? cluster.proxies : [dice.pick(cluster.proxies), dice.pick(cluster.proxies)];
        await Promise.all(proxies.map((proxy) => proxy.refuse()));
        await sleep(dice.between(300, 3_000));
        await Promise.all(proxies.map((proxy) => proxy.accept()));
        await sleep(dice.between(300, 1_500));
      }
    },
    rules: [...delivered, "few dials"],
  },

  "killed leader": {
    plan: (dice) => ({ producers: [one(dice, patient, 20_000), one(dice, patient, 20_000)] }),
    async faults({ cluster, dice, sleep, isOver, settle }) {
      while (!isOver()) {
        const node = dice.pick(cluster.nodes);
        await sleep(dice.between(500, 1_500));
        await node.kill();
        await sleep(dice.between(0, 7_000));
        await node.start();
        await settle(8_000);
      }
    },
    rules: [...delivered, "few dials"],
  },

  "paused leader": {
    plan: (dice) => ({ producers: [one(dice, patient, 18_000), one(dice, patient, 18_000)] }),
    async faults({ cluster, dice, sleep, isOver }) {
      while (!isOver()) {
        const node = dice.pick(cluster.nodes);
        node.pause();
        await sleep(dice.between(1_000, 7_000));
        node.resume();
        await sleep(dice.between(500, 2_500));
      }
    },
    rules: [...delivered, "few dials"],
  },

  "elections": {
    // First batches are what elections endanger most: a broker that knows nothing of a producer takes any sequence.
    plan: (dice) => ({
      partitions: 24,
      producers: Array.from({ length: 8 }, (_, i) => {
        return { ...one(dice, patient, 5_000), choice: "sweep", startMs: i * 1_500 };
      }),
    }),
    async faults(rig) {
      const { cluster, dice } = rig;
      while (!rig.isOver()) {
        // News of the new leader comes faster than the old one's answer when that is the one far away.
        for (const proxy of cluster.proxies) {
          proxy.slow = { latencyMs: dice.pick([2, 60, 120]), jitterMs: dice.between(0, 10) };
        }
        await move(rig);
        await rig.sleep(2_000);
      }
    },
    rules: delivered,
  },

  "elections and lost answers": {
    plan: (dice) => ({
      producers: Array.from({ length: 4 }, (_, i) => {
        return { ...one(dice, patient, 6_000), choice: dice.pick(["key", "sweep"]), startMs: i * 3_000 };
      }),
    }),
    async faults(rig) {
      const { cluster, dice, noise } = rig;
      for (const proxy of cluster.proxies) {
        proxy.slow = { latencyMs: dice.between(10, 60), jitterMs: dice.between(0, 40) };
        proxy.rules.response = ({ api }) => api === 0 && noise.chance(0.04) ? "swallow" : undefined;
        proxy.rules.request = ({ api }) => api === 0 && noise.chance(0.03) ? "reset after" : undefined;
      }
      while (!rig.isOver()) {
        await move(rig);
        await rig.sleep(dice.between(800, 2_000));
      }
    },
    rules: delivered,
  },

  "all brokers down and back": {
    // On a machine with other work it takes them a minute and more to come back.
    plan: (dice) => {
      const options = { ...patient, deliveryTimeoutMs: 180_000, maxBlockMs: 180_000 };
      return { producers: [one(dice, options, 18_000), one(dice, options, 18_000)] };
    },
    async faults({ cluster, dice, sleep }) {
      await sleep(3_000);
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      await sleep(dice.between(1_000, 4_000));
      await Promise.all(cluster.nodes.map((node) => node.start()));
    },
    rules: [...delivered, "few dials"],
  },

  // The way that a cluster grows, shrinks and has its machines replaced: every partition changes its brokers twice.
  "brokers added and removed": {
    plan: (dice) => ({ producers: [one(dice, patient, 45_000), one(dice, patient, 45_000)] }),
    async faults({ cluster, dice, topics, trace, sleep, isOver, settle }) {
      const old = cluster.nodes.map(({ id }) => id);
      do {
        const added = await cluster.add();
        const replaced = dice.pick(old);
        const brokers = old.map((id) => id === replaced ? added.id : id);
        const { leaders } = await cluster.ask("assign", topics, { brokers });
        if (!Object.values(leaders).includes(added.id)) throw new Error("The new broker leads nothing");
        trace.say(`node ${added.id} has the place of node ${replaced}`);
        await sleep(dice.between(500, 3_000));
        await cluster.ask("assign", topics, { brokers: old });
        trace.say(`node ${added.id} keeps nothing any more`);
        if (dice.chance(0.5)) await sleep(1_000);
        await cluster.remove(added);
        await settle(8_000);
      } while (!isOver());
    },
    rules: [...delivered, "few dials"],
  },

  "out of time": {
    // Delivery timeouts that the faults outlast: most of what fails may be in the log.
    plan: (dice) => ({
      producers: [1, 2, 3].map(() => {
        const options = { requestTimeoutMs: 800, connectTimeoutMs: 800, deliveryTimeoutMs: dice.between(1_000, 3_000) };
        return one(dice, options, 13_000);
      }),
    }),
    async faults(rig) {
      const { cluster, dice, noise, sleep, isOver } = rig;
      while (!isOver()) {
        const proxy = dice.pick(cluster.proxies);
        proxy.slow = { latencyMs: dice.between(0, 100), jitterMs: 30 };
        proxy.rules.response = ({ api }) =>
          api === 0 && noise.chance(0.05) ? noise.pick(["swallow", "silence"]) : undefined;
        if (dice.chance(0.5)) proxy.hold();
        else proxy.hole();
        if (dice.chance(0.4)) proxy.greeting = dice.pick(["hole", "hold"]);
        await sleep(dice.between(500, 4_000));
        proxy.release();
        if (dice.chance(0.7)) await proxy.heal();
        await sleep(dice.between(50, 1_000));
      }
    },
    rules: exact,
  },

  "everything": {
    plan: (dice) => ({
      producers: [
        one(dice, patient, 20_000),
        one(dice, { ...short, deliveryTimeoutMs: dice.between(2_500, 8_000) }, 20_000),
        { ...one(dice, { ...short, deliveryTimeoutMs: dice.between(2_500, 20_000) }, 8_000), startMs: 9_000 },
      ],
    }),
    async faults(rig) {
      const { cluster, dice, sleep, isOver, settle } = rig;
      for (const proxy of cluster.proxies) spoil(proxy, rig);
      while (!isOver()) {
        const proxy = dice.pick(cluster.proxies);
        const node = dice.pick(cluster.nodes);
        switch (dice.between(0, 7)) {
          case 0:
            proxy.hole();
            break;
          case 1:
            proxy.hold();
            break;
          case 2:
            await proxy.refuse();
            break;
          case 3:
            await node.kill();
            await sleep(dice.between(0, 5_000));
            await node.start();
            await settle(5_000);
            break;
          case 4:
            node.pause();
            await sleep(dice.between(300, 6_000));
            node.resume();
            break;
          default:
            await move(rig);
        }
        await sleep(dice.between(200, 2_000));
        if (dice.chance(0.5)) {
          for (const each of cluster.proxies) {
            await each.heal();
            spoil(each, rig);
          }
        }
      }
    },
    rules: exact,
  },

  // Without idempotence a record may be there twice and out of order, and with one replica lost: V1 and V3 are left.
  "acks 1": {
    plan: (dice) => ({
      producers: [1, 2].map((i) => {
        const options = { ...short, deliveryTimeoutMs: i === 1 ? 60_000 : dice.between(2_500, 6_000) };
        return one(dice, { ...options, acks: 1, idempotent: false }, 14_000);
      }),
    }),
    async faults(rig) {
      const { cluster, dice, sleep, isOver } = rig;
      while (!isOver()) {
        for (const proxy of cluster.proxies) spoil(proxy, rig);
        const proxy = dice.pick(cluster.proxies);
        if (dice.chance(0.3)) await move(rig);
        else if (dice.chance(0.5)) proxy.hole();
        else proxy.hold();
        await sleep(dice.between(500, 3_500));
        for (const each of cluster.proxies) await each.heal();
      }
    },
    rules: [],
  },
};

/** One producer with options by chance. */
function one(dice, options, durationMs) {
  const batching = dice.pick([{}, {}, { batchSize: dice.between(200, 4_000) }, { lingerMs: dice.between(1, 30) }]);
  return {
    startMs: 0,
    durationMs,
    seed: dice.between(0, 2 ** 31),
    maxBurst: dice.pick([2, 8, 20]),
    choice: dice.pick(["key", "key", "any"]),
    ending: dice.pick(["flush", "close"]),
    options: {
      maxInFlight: dice.pick([5, 5, 5, 2, 1]),
      compression: dice.pick(["none", "none", "gzip", "lz4", "zstd"]),
      ...batching,
      ...options,
    },
  };
}

function spoil(proxy, { dice, noise }) {
  proxy.slow = { latencyMs: dice.between(0, 80), jitterMs: dice.between(0, 40) };
  const spoilt = dice.between(0, 5) / 100;
  proxy.rules.request = ({ api }) => {
    if (!noise.chance(api === 0 ? spoilt : spoilt / 3)) return undefined;
    return noise.pick(["reset before", "reset half", "reset after"]);
  };
  proxy.rules.response = () => noise.chance(spoilt) ? noise.pick(["swallow", "truncate", "silence"]) : undefined;
}

async function move({ cluster, topics, trace }) {
  const answer = await cluster.ask("move", topics).catch((error) => ({ leaders: error.message }));
  trace.say(`leaders moved: ${JSON.stringify(answer.leaders)}`);
}
