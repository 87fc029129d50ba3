// Package sound finds sound events on a tape by their AudioSet names. A model
// gives the probability of each sound every 80 ms (several may sound at once);
// smoothing, a threshold with hysteresis for each sound, shortest lengths and
// merging make events of it, each with its onset, offset and confidence.
package sound
