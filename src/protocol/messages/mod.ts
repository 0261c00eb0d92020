/**
 * Every API that is spoken, one file each.
 *
 * @module
 */

export { AddOffsetsToTxn } from "./add_offsets_to_txn.ts";
export { AddPartitionsToTxn } from "./add_partitions_to_txn.ts";
export { ApiVersions } from "./api_versions.ts";
export { CreateTopics } from "./create_topics.ts";
export { EndTxn } from "./end_txn.ts";
export { Fetch } from "./fetch.ts";
export { FindCoordinator } from "./find_coordinator.ts";
export { InitProducerId } from "./init_producer_id.ts";
export { ListOffsets } from "./list_offsets.ts";
export { Metadata } from "./metadata.ts";
export { Produce } from "./produce.ts";
export { SaslAuthenticate } from "./sasl_authenticate.ts";
export { SaslHandshake } from "./sasl_handshake.ts";
export { TxnOffsetCommit } from "./txn_offset_commit.ts";
