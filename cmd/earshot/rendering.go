package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/earshot-fm/earshot/audio/codec"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
)

// rendering fits the decoder and the encoder to enrich.Renderer.
type rendering struct {
	decoder *codec.Decoder
	encoder *codec.Encoder
}

func (r rendering) Build() string { return r.encoder.Build() }

func (r rendering) Render(ctx context.Context, path string, span episode.Span) ([]enrich.RenderedAudio, error) {
	pcm, err := r.decoder.Cut(ctx, path, span.Start.Duration(), span.End.Duration())
	if err != nil {
		return nil, classify(err)
	}
	ladder, err := r.encoder.Ladder(ctx, pcm, codec.LadderOptions{})
	if err != nil {
		return nil, err
	}
	out := make([]enrich.RenderedAudio, len(ladder))
	for i, l := range ladder {
		sum := sha256.Sum256(l.Bytes)
		out[i] = enrich.RenderedAudio{Content: l.Bytes, Rendition: episode.Rendition{
			Codec: string(l.Codec), Container: l.Container, BitrateKbps: l.Kbps,
			SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(l.Bytes)),
			Duration:   episode.Seconds(l.Duration.Seconds()),
			SampleRate: l.SampleRate, Channels: l.Channels,
			LoudnessLUFS: episode.Decibels(l.LUFS), TruePeakDBTP: episode.Decibels(l.TruePeak),
		}}
	}
	return out, nil
}

// readObject reads an object from the origin.
func (p *pipeline) readObject(ctx context.Context, name string) ([]byte, error) {
	r, err := p.origin.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
