// Package vad finds speech on a tape: a model gives the probability of speech
// every 40 ms, and hysteresis, shortest lengths and padding make regions of it.
package vad
