// Package audio holds an episode's sound while the rest of Earshot listens to
// it: the Tape (16 kHz mono, readable while it is still being decoded), the
// resampler that feeds it, and the meters that measure what the listener will
// hear at the recording's own rate and channels (loudness and true peak by
// ITU-R BS.1770, and the waveform).
//
// Samples are float32 in [-1, 1]; decoders may overshoot. Interleaved audio is
// frame after frame, one sample per channel, in the order of the WAVE format
// (left, right, centre, LFE, back or side left, right).
package audio
