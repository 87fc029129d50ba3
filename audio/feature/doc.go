// Package feature turns audio into the log-mel spectrograms that the models
// read: one front end, described by a small Config that a model's manifest
// fills, so that models which ask for the same front end can share its frames.
//
// A frame depends on its own samples alone. Cutting a recording into chunks of
// any size therefore gives the same frames bit for bit as handing it over at
// once, and frame i of a recording can be computed from samples
// [i·hop, i·hop+window) without the rest.
//
// The arithmetic is C's (lanes.c, level.c), written with the compiler's vectors:
// AVX2 where the processor has it, else what every processor of its kind has,
// and the same bits either way.
package feature
