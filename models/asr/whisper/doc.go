// Package whisper runs OpenAI's Whisper as its public exports hold it: the
// encoder and the merged decoder of an Optimum export (family "whisper"), or
// onnxruntime's whole beam search in one graph (family "whisper-beam-search").
// It decodes as the reference (openai-whisper 20250625) does: the same
// suppressed tokens and timestamp rules, the same fallbacks, the same seeking
// through a long file when the manifest asks for it; and more cheaply over
// pieces of speech of many episodes, whose decoders share batches.
package whisper
