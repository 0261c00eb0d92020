/** Where everything lies in the memory of the module of the checksum, whose size is fixed. */

/** Sixteen tables of 256 words, at 0, so that an index needs nothing added: `k << 10` is an offset of the load. */
export const CRC_TABLE: usize = 0;
/** The last lanes of a checksum while they are summed up. */
export const LANES: usize = CRC_TABLE + 16_384;
/** Always zero: what the first lanes of a checksum find when they look back. */
const ZEROS: usize = LANES + 1344;
/** Where the caller puts the input, 64 KiB at most. */
export const SOURCE: usize = ZEROS + 1280;
