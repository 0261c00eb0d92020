import { fuzz } from "./fuzz.ts";
const [from, to, mode] = process.argv.slice(2);
const unhandled: unknown[] = [];
process.on("unhandledRejection", (r) => unhandled.push(r));
let failed = 0, mutated = 0, lies = 0, delivered = 0, bytes = 0, maxWork = 0;
const t = performance.now();
for (let s = Number(from); s <= Number(to); s++) {
  const t0 = performance.now();
  const r = await fuzz(s, { takeUnhandled: () => unhandled.splice(0), huge: mode === "huge" });
  const ms = performance.now() - t0;
  if (ms > 1500) console.log(`slow ${s} ${ms.toFixed(0)} bytes ${r.bytes}`);
  mutated += r.mutated; lies += r.lies; delivered += r.delivered; bytes += r.bytes;
  maxWork = Math.max(maxWork, r.work / (50_000 + r.bytes * 2 + r.virtualMs * 4));
  if (r.problems.length > 0) { failed++; if (mode === "trace") console.log(r.trace.join("\n")); console.log(`seed ${s}: ${r.problems.slice(0,3).join("\n   ")}`.slice(0, 600)); }
}
console.log({ failed, mutated, lies, delivered, bytes, maxWork, ms: performance.now() - t });
process.exit(0);
