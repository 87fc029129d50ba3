// Package enclosure brings the audio file that a feed points at to disk, from
// servers that nobody vouches for: bounded in size, in time and in redirects,
// never from an address inside our own network, and with its hash taken on the
// way. Its errors say whether trying again is of use: an *audio.Rejection is
// permanent, a *TransientError is not.
package enclosure
