/**
 * What the client calls itself towards brokers (KIP-511) and in `--version`.
 *
 * @module
 */

/** Without the npm scope: letters, digits, `-` and `.` are all that brokers take, in the version as well (KIP-511). */
export const SOFTWARE_NAME = "sluice-kafka";

/** The version of the package; `scripts/architecture.mjs` compares it with the manifests. */
export const SOFTWARE_VERSION = "0.1.0";
