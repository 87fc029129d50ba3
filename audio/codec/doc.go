// Package codec turns enclosures into sound and sound into previews.
//
// A Decoder recognises a file by its content, never by its name or the type a
// server claimed, and decodes it once for everything that needs it: native PCM
// for the meters, 16 kHz mono for the tape. WAV and FLAC are decoded here; the
// other formats by ffmpeg, in a child process that can reach nothing but the
// descriptors it was given (see the confinement files). Damaged audio gives
// what can be heard and a Warning; audio that can never be used is an
// *audio.Rejection; every other error is transient.
package codec
