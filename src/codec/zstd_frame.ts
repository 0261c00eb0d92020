/**
 * Where the frames of Zstandard data begin and end, and how much they can hold at most.
 *
 * A decompressor that takes a buffer for the whole output needs this: several frames may follow each other, a frame
 * need not say how much it holds, and what it says need not be true.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";

/** One frame with content. */
export interface ZstdFrame {
  /** Where its magic begins. */
  readonly start: number;
  /** Where the next frame begins. */
  readonly end: number;
  /** What it holds, in bytes: exactly if it says so itself, otherwise what its blocks can hold at most. */
  readonly sizeBound: number;
  /** Whether {@link sizeBound} is what the frame says itself. */
  readonly declared: boolean;
}

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_SIZE = 131_072;
const DICTIONARY_ID_SIZES = [0, 1, 2, 4] as const;

/** Finds the frames of `input`; skippable ones are left out. Reads the headers of frames and blocks only. */
export function zstdFrames(input: Uint8Array): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  for (let at = 0; at < input.length;) {
    const magic = readNumber(input, at, 4);
    if ((magic & 0xfffffff0) === SKIPPABLE_MAGIC) {
      at += 8 + readNumber(input, at + 4, 4);
      if (at > input.length) throw corrupt("a skippable frame is cut short");
      continue;
    }
    if (magic !== MAGIC) throw corrupt("a frame's magic is missing");
    const frame = readFrame(input, at);
    frames.push(frame);
    at = frame.end;
  }
  return frames;
}

/** Deno appends an empty frame to outputs of 16 KB and more, which not every consumer takes for nothing. */
export function singleFrame(output: Uint8Array, inputSize: number): Uint8Array {
  const [frame] = zstdFrames(output);
  if (frame?.sizeBound !== inputSize || frame.start !== 0) {
    throw new CompressionError(`Compressing ${inputSize} bytes with zstd failed, the runtime wrote no single frame`);
  }
  return frame.end === output.length ? output : output.subarray(0, frame.end);
}

function readFrame(input: Uint8Array, start: number): ZstdFrame {
  const descriptor = readNumber(input, start + 4, 1);
  if (descriptor & 0x08) throw corrupt("a reserved flag is set");
  const singleSegment = (descriptor & 0x20) !== 0;
  let at = start + 5;
  let windowSize = Infinity;
  if (!singleSegment) {
    const window = readNumber(input, at++, 1);
    windowSize = 2 ** (10 + (window >>> 3)) * (1 + (window & 7) / 8);
  }
  at += DICTIONARY_ID_SIZES[(descriptor & 3) as 0 | 1 | 2 | 3];
  const sizeWidth = descriptor >>> 6 === 0 ? (singleSegment ? 1 : 0) : 1 << (descriptor >>> 6);
  const contentSize = sizeWidth === 0 ? undefined : readNumber(input, at, sizeWidth) + (sizeWidth === 2 ? 256 : 0);
  at += sizeWidth;

  const blockBound = Math.min(singleSegment ? contentSize! : windowSize, MAX_BLOCK_SIZE);
  let bound = 0;
  for (let last = false; !last;) {
    const header = readNumber(input, at, 3);
    const size = header >>> 3;
    const type = (header >>> 1) & 3;
    if (type === 3) throw corrupt("a block is of no known type");
    last = (header & 1) !== 0;
    bound += type === 2 ? blockBound : size;
    at += 3 + (type === 1 ? 1 : size);
  }
  if (descriptor & 0x04) at += 4;
  if (at > input.length) throw corrupt("a frame is cut short");
  if (contentSize !== undefined && contentSize > bound) {
    throw corrupt(`a frame that can hold ${bound} bytes says that it holds ${contentSize}`);
  }
  return { start, end: at, sizeBound: contentSize ?? bound, declared: contentSize !== undefined };
}

function readNumber(input: Uint8Array, at: number, width: number): number {
  if (at + width > input.length) throw corrupt("a frame is cut short");
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = value * 256 + input[at + i]!;
  return value;
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`Decompressing zstd failed, ${what}`);
}
