/** Counts what became of tests of whole programs, and lets such a file be run by hand. */

import { pathToFileURL } from "node:url";

/** Keeps the outcome of each test. A test passes unless it throws; what it returns is why it is skipped. */
export class Tally {
  /** @type {{ name: string, status: "passed" | "failed" | "skipped", detail?: string }[]} for each test */
  tests = [];
  #log;

  constructor(log = console.log) {
    this.#log = log;
  }

  /**
   * @param {string} name
   * @param {() => unknown} body
   */
  async run(name, body) {
    try {
      const reason = await body();
      if (reason !== undefined) this.skip(name, reason);
      else this.tests.push({ name, status: "passed" });
    } catch (error) {
      this.#log(`✗ ${name}\n${String(error.stack).replace(/^/gm, "    ")}`);
      this.tests.push({ name, status: "failed", detail: error.message });
    }
  }

  skip(name, reason) {
    this.#log(`- ${name}: ${reason}`);
    this.tests.push({ name, status: "skipped", detail: reason });
  }

  /** `{ passed, failed, skipped, tests }` */
  result() {
    const count = (status) => this.tests.filter((test) => test.status === status).length;
    return { passed: count("passed"), failed: count("failed"), skipped: count("skipped"), tests: this.tests };
  }
}

/** When the module at this URL is the one that Node was started with: runs its tests, narrowed by the first argument. */
export async function runByHand(url, runTests) {
  if (url !== pathToFileURL(process.argv[1] ?? "").href) return;
  const { passed, failed, skipped } = await runTests({ filter: process.argv[2] ?? "" });
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
