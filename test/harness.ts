/**
 * One way to write a test for every runtime: `test(name, options?, (t) => …)` with `node:assert/strict`.
 *
 * It registers with the runner of the runtime that it finds itself on. workerd has none: there the tests are
 * collected, and {@link runCollected} runs them and fails when one fails or when there is none.
 *
 * @module
 */

/** What a test is given. */
export interface TestContext {
  /** Cleans up after the body, passed or failed; the last one registered runs first. */
  after(cleanUp: () => void | Promise<void>): void;
  /** Aborted when the test's time is up. */
  readonly signal: AbortSignal;
}

/** Why tests are skipped on workerd, by what they need. */
const MISSING_IN_WORKERD = {
  "listen": "workerd cannot listen",
  "command line": "workerd runs no command line",
} as const;

/** What can be asked for a test. */
export interface TestOptions {
  /** Why the test isn't run, or `false`. A feature can't rest on a skipped test. */
  readonly skip?: string | false | undefined;
  /** How long body and clean-up may take, each, in ms. @default 120_000: a guard against hanging, not a measure */
  readonly timeoutMs?: number;
  /** Skipped on workerd, which can dial but not `"listen"`, and runs no `"command line"`. */
  readonly needs?: keyof typeof MISSING_IN_WORKERD;
}

/** The test itself. */
export type TestBody = (t: TestContext) => void | Promise<void>;

/** How one collected test ended, as workerd prints it. */
export interface CollectedResult {
  /** The test's name. */
  readonly name: string;
  /** What became of it. */
  readonly status: "passed" | "failed" | "skipped";
  /** How long it took, in ms. */
  readonly durationMs: number;
  /** Why it failed or was skipped. */
  readonly detail?: string;
}

type Register = (name: string, skip: string | undefined, timeoutMs: number, run: () => Promise<void>) => void;

interface Globals {
  readonly Deno?: { test(definition: Record<string, unknown>): void };
  readonly Bun?: unknown;
  readonly process?: {
    getBuiltinModule?(name: string): unknown;
    readonly env?: Readonly<Record<string, string | undefined>>;
  };
  readonly SLUICE_TEST_NAMES?: string;
}

const globals = globalThis as unknown as Globals;

/** The runtime that the tests are running on. */
export const runtimeName: "node" | "deno" | "bun" | "workerd" = globalThis.navigator?.userAgent === "Cloudflare-Workers"
  ? "workerd"
  : globals.Deno !== undefined
  ? "deno"
  : globals.Bun !== undefined
  ? "bun"
  : "node";

/** What a test's name must contain to be run, in any case of letters: `npm run t` says so. */
const wantedNames: string = (globals.SLUICE_TEST_NAMES ?? globals.process?.env?.["SLUICE_TEST_NAMES"] ?? "")
  .toLowerCase();

const collected: { name: string; skip: string | undefined; run: () => Promise<void> }[] = [];
const names = new Set<string>();
const register = await registrar();

/** Registers a test. Names are flat, unique over the whole suite, and the same on every runtime. */
export function test(name: string, body: TestBody): void;
/** Registers a test with options. */
export function test(name: string, options: TestOptions, body: TestBody): void;
export function test(name: string, second: TestOptions | TestBody, third?: TestBody): void {
  const options = typeof second === "function" ? {} : second;
  const body = typeof second === "function" ? second : third!;
  if (names.has(name)) throw new Error(`Two tests are called "${name}", each needs a name of its own`);
  names.add(name);
  if (!name.toLowerCase().includes(wantedNames)) return;
  if (wantedNames !== "") console.log("@@chosen");
  const skip = options.skip ||
    (options.needs && runtimeName === "workerd" ? MISSING_IN_WORKERD[options.needs] : undefined);
  // Deno and Bun keep no reason for a skip, so the matrix reads it from here.
  if (skip) console.log(`@@skip ${JSON.stringify({ name, reason: skip })}`);
  const timeoutMs = options.timeoutMs ?? 120_000;
  register(name, skip, timeoutMs, async () => {
    try {
      await runBody(body, timeoutMs);
    } catch (error) {
      // Bun's report says that a test failed, not why.
      if (runtimeName === "bun") console.log(`@@fail ${JSON.stringify({ name, detail: describe(error) })}`);
      throw error;
    }
  });
}

/** Runs what was collected, one after the other, and prints a line for each. For workerd only. */
export async function runCollected(): Promise<void> {
  if (collected.length === 0) throw new Error("No test was collected, wanted at least one");
  let failed = 0;
  for (const { name, skip, run } of collected) {
    const startedMs = performance.now();
    let result: Pick<CollectedResult, "status" | "detail"> = { status: "passed" };
    if (skip) {
      result = { status: "skipped", detail: skip };
    } else {
      try {
        await run();
      } catch (error) {
        failed++;
        result = { status: "failed", detail: describe(error) };
      }
    }
    console.log(`@@test ${JSON.stringify({ name, durationMs: performance.now() - startedMs, ...result })}`);
  }
  if (failed > 0) throw new Error(`${failed} of ${collected.length} tests failed`);
}

/** What is used of workerd's bindings, requests and connections. */
interface WorkerEnvironment {
  /** The worker itself. */
  readonly SELF: {
    fetch(url: string): Promise<Response>;
    connect(address: unknown, options?: unknown): unknown;
  };
}

let environment: WorkerEnvironment | undefined;
const visits: Map<string, () => Promise<void>> = new Map();

/** The handlers of the worker that runs the tests. */
export interface WorkerHandlers {
  /** Runs the tests. */
  test(controller: unknown, env: WorkerEnvironment): Promise<void>;
  /** Runs what {@link inOwnRequest} was given. */
  fetch(request: Request): Promise<Response>;
  /** Hands a connection to whoever has called {@link acceptConnections}. */
  connect(socket: unknown): Promise<void>;
}

/** What `scripts/lib/legs.mjs` makes a worker of. */
export function workerHandlers(): WorkerHandlers {
  return {
    async test(_, env) {
      environment = env;
      await runCollected();
    },
    async fetch(request) {
      await visits.get(new URL(request.url).pathname)!();
      return new Response("done");
    },
    async connect(socket) {
      await acceptor(socket);
    },
  };
}

/** The binding of the worker to itself, which can be connected to; undefined but on workerd. */
export function workerItself(): WorkerEnvironment["SELF"] | undefined {
  return environment?.SELF;
}

let acceptor: (socket: unknown) => Promise<void> = () => Promise.reject(new Error("No test accepts connections"));

/** On workerd: takes what connects to {@link workerItself}. */
export function acceptConnections(accept: (socket: unknown) => Promise<void>): void {
  acceptor = accept;
}

/** Runs a function in a request of its own on workerd; elsewhere there are none, and it is just run. */
export async function inOwnRequest<T>(run: () => Promise<T>): Promise<T> {
  if (environment === undefined) return await run();
  const path = `/${crypto.randomUUID()}`;
  // What a request makes must not be awaited in another one, so what comes of it is looked at when it is over.
  let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
  visits.set(path, async () => {
    try {
      outcome = { value: await run() };
    } catch (error) {
      outcome = { error };
    }
  });
  await (await environment.SELF.fetch(`http://worker${path}`)).text();
  visits.delete(path);
  if (outcome === undefined) throw new Error("The request has ended without an outcome");
  if ("error" in outcome) throw outcome.error;
  return (outcome as { readonly value: T }).value;
}

async function runBody(body: TestBody, timeoutMs: number): Promise<void> {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const controller = new AbortController();
  const errors: unknown[] = [];
  const context: TestContext = { after: (cleanUp) => void cleanUps.push(cleanUp), signal: controller.signal };
  try {
    await withDeadline(async () => await body(context), timeoutMs, "The test", controller);
  } catch (error) {
    errors.push(error);
  }
  for (const cleanUp of cleanUps.reverse()) {
    try {
      await withDeadline(async () => await cleanUp(), timeoutMs, "A clean-up");
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, errors.map((error) => describe(error)).join("\n"));
}

/** The runners' own deadlines don't reach the clean-up, and Deno has none. */
async function withDeadline(
  run: () => Promise<void>,
  timeoutMs: number,
  what: string,
  controller?: AbortController,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`${what} took longer than ${timeoutMs} ms`);
      reject(error);
      controller?.abort(error);
    }, timeoutMs);
  });
  try {
    await Promise.race([run(), deadline]);
  } finally {
    clearTimeout(timer);
  }
}

async function registrar(): Promise<Register> {
  switch (runtimeName) {
    case "workerd":
      return (name, skip, _timeoutMs, run) => void collected.push({ name, skip, run });
    case "deno":
      return (name, skip, _timeoutMs, run) =>
        globals.Deno!.test({ name, ignore: skip !== undefined, sanitizeOps: true, sanitizeResources: true, fn: run });
    case "bun": {
      const specifier = "bun:test"; // in a variable: the other runtimes and the bundler must not resolve it
      type BunTest = (name: string, run: () => Promise<void>, timeoutMs?: number) => void;
      const bun = (await import(specifier)) as { test: BunTest & { skip: BunTest } };
      return (name, skip, timeoutMs, run) => skip ? bun.test.skip(name, run) : bun.test(name, run, timeoutMs * 10);
    }
    case "node": {
      type NodeTest = (name: string, options: { skip: string | false }, run: () => Promise<void>) => Promise<void>;
      const node = globals.process!.getBuiltinModule!("node:test") as { test: NodeTest };
      return (name, skip, _timeoutMs, run) => void node.test(name, { skip: skip ?? false }, run);
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.stack ?? `${error.name}: ${error.message}` : String(error);
}
