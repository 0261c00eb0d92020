/**
 * Callbacks, and on whose behalf they are called.
 *
 * @module
 */

import type { Context } from "../../runtime/async_context.ts";
import type { SendOptions } from "./record.ts";

/** What is called with the outcome of a record, and in which asynchronous context. */
export interface Callbacks extends SendOptions {
  /** The context of the call that brought the record; that of whoever tells the outcome, if undefined. */
  readonly context?: Context | undefined;
}
