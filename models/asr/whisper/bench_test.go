package whisper

import (
	"context"
	"os"
	"testing"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// planned makes a model of random weights end its transcripts where a plan
// says, as .ci/bench/whispers.py does: the encoder's first value carries the
// item's number of tokens through the decoder's input.
type planned struct {
	models.Session
	v    *vocabulary
	plan func() int // of the next window to be encoded; nil: this is the decoder
}

func (s planned) Run(ctx context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	out, err := s.Session.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	if s.plan != nil {
		heard, err := models.Elements[float32](out["last_hidden_state"])
		if err == nil {
			heard[0] = float32(s.plan())
		}
		return out, err
	}
	heard, err := models.Elements[float32](in["encoder_hidden_states"])
	if err != nil {
		return nil, err
	}
	logits, err := models.Elements[float32](out["logits"])
	if err != nil {
		return nil, err
	}
	rows := int(in["input_ids"].Shape()[0])
	past := int(in["past_key_values.0.decoder.key"].Shape()[2])
	for i := range rows {
		row := logits[(i+1)*len(logits)/rows-s.v.size:][:s.v.size]
		row[s.v.eot] = -1e9
		if past >= int(heard[i*len(heard)/rows])+2 {
			row[s.v.eot] = 1e9
		}
	}
	return out, nil
}

// BenchmarkDecode measures windows of 30 s from samples to text, with 10 to 100
// tokens each: one after another, and in 8 places that are filled again.
// EARSHOT_BENCH_WHISPER is the folder of the model that
// models/train/parity/whisper.py --bench writes, or the parity model runs.
func BenchmarkDecode(b *testing.B) {
	folder := os.Getenv("EARSHOT_BENCH_WHISPER")
	if folder == "" {
		folder = parity + "tiny-whisper"
	}
	m := modelstest.Folder(b, folder)
	r, err := NewRunner(m)
	if err != nil {
		b.Fatal(err)
	}
	r.params.Temperatures, r.params.WordTimes = []float64{0}, false
	front, err := feature.New(feature.Config(*m.Manifest.Frontend))
	if err != nil {
		b.Fatal(err)
	}
	samples := goldenOf(b, "tiny-whisper").Clips[0].play()
	const items = 16
	open := modelstest.Open(b, m)
	for name, places := range map[string]int{"batch1": 1, "batch8": 8} {
		b.Run(name, func(b *testing.B) {
			r.places = places
			began := modelstest.ProcessorSeconds(b)
			for b.Loop() {
				next := 0
				sessions := models.Sessions{
					r.encoder:      planned{open[r.encoder], r.words, func() int { next++; return 10 + (next-1)*37%91 }},
					r.decoder.file: planned{open[r.decoder.file], r.words, nil},
				}
				batch := make([]Item, 0, items)
				for range items {
					it := window(front, samples)
					it.Language = "en"
					batch = append(batch, it)
				}
				if _, err := r.Run(b.Context(), sessions, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(items*windowSeconds*float64(b.N)/(modelstest.ProcessorSeconds(b)-began), "realtime")
		})
	}
}
