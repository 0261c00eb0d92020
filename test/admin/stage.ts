/**
 * An admin client and a cluster in virtual time.
 *
 * @module
 */

import { Admin } from "../../src/admin/admin.ts";
import type { AdminOptions } from "../../src/admin/mod.ts";
import type { AdminResult, AdminResults } from "../../src/admin/results.ts";
import type { KafkaError } from "../../src/errors.ts";
import type { EmbeddedClusterOptions } from "../../src/testing/mod.ts";
import type { TestContext } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** A stage with admin clients. */
export interface AdminStage extends Stage {
  readonly admin: Admin;
  /** Another admin client. */
  newAdmin(options?: Partial<AdminOptions>): Admin;
  /** Lets time pass until each thing has its outcome: the value, or the error's code. */
  each<T>(results: AdminResults<T>, limitMs?: number): Promise<(T | string)[]>;
  /** The error of the first thing. */
  errorOf(results: AdminResults<unknown>, limitMs?: number): Promise<KafkaError>;
  /** Lets time pass until each thing has its outcome. */
  settled<T>(results: AdminResults<T>, limitMs?: number): Promise<AdminResult<T>[]>;
}

/** Sets up a cluster in virtual time and an admin client, which is closed behind the test. */
export function adminStage(t: TestContext, options: EmbeddedClusterOptions = {}): AdminStage {
  const s = stage(options);
  const newAdmin = (more: Partial<AdminOptions> = {}): Admin => {
    const admin = new Admin({ brokers: s.cluster.bootstrap, ...more }, s.runtime);
    t.after(() => admin.close());
    return admin;
  };
  const settled: AdminStage["settled"] = (results, limitMs) => s.run(Promise.resolve(results), limitMs);
  return {
    ...s,
    admin: newAdmin(),
    newAdmin,
    settled,
    errorOf: async (results, limitMs) => {
      const [result] = await settled(results, limitMs);
      if (result?.status !== "rejected") throw new Error("It was not rejected, wanted an error");
      return result.reason;
    },
    each: async (results, limitMs) =>
      (await settled(results, limitMs)).map((result) =>
        result.status === "fulfilled" ? result.value : result.reason.code
      ),
  };
}
