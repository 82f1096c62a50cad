// Package pack puts the files of a base, or of a piece of log, into objects that can be kept by anyone and read only
// by who holds the key: age around Zstandard frames around a tar stream. Stock age, zstd and tar open them.
//
//	files ─ tar ─ frames of at most 256 KiB (1 MiB in log) ─ zstd, each frame for itself ─ age ─ packs
//
// Frames are independent and age's chunks are too, so with a map (base) or an index (segment) any piece is read with
// one ranged request. The map holds a keyed BLAKE3 digest of every extent, the index a plain one of every frame, and each
// object has the SHA-256 of its ciphertext, so damage is found with the key and without it.
//
// A BaseWriter compresses and digests in parallel, and everything in order goes through one goroutine: what it
// writes is a deterministic stream, apart from the keys that age draws. Memory is bounded whatever the size.
//
// Nothing here knows stores, names of sources or signatures: callers hand in Outputs to write to and Sources to read
// from. Bytes that do not make sense are a *CorruptError, never a panic. docs/format describes the bytes.
package pack
