// Package clips finds sound events with the classifiers that people publish for
// AudioSet: models that hear a clip and say once how probable each sound is.
//
// Two families of model.yaml are read. A "clip-classifier" takes a batch of
// clips of one length: waveforms at a rate of its own (PANNs) or log-mel (CED,
// or any other front end of audio/feature). A "patch-waveform" model takes one
// waveform of any length and answers for patches of it that overlap (YAMNet).
//
// Either way the tape has a grid of windows that follow one another by a hop,
// from its first sample on. A step of one hop is as probable as the windows
// that cover it are on average, and sound.Events makes events of the steps.
// What a window holds depends on the tape alone, not on how it was written.
package clips
