package whisper

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

const parity = "../../parity/"

// golden is what the reference gave: models/train/parity/whisper.py writes it.
type golden struct {
	Seed  uint64
	Clips []struct {
		melody
		Language  string
		Languages map[string]float64
		Decoded   []struct {
			Prompt      []int
			Temperature float64
			Timestamps  bool
			Tokens      []int
			Text        string
			LogP        float64 `json:"avg_logprob"`
			NoSpeech    float64 `json:"no_speech_prob"`
			Compression float64 `json:"compression_ratio"`
		}
		Alignment []struct {
			Word        string
			Tokens      []int
			Start, End  float64
			Probability float64
		}
		AlignmentFrames int `json:"alignment_frames"`
	}
	LogitsTokens []int `json:"logits_tokens"`
	Special      struct{ Suppress []int }
	Files        []goldenFile
}

type goldenFile struct {
	melody
	Options struct {
		WordTimestamps bool     `json:"word_timestamps"`
		Previous       *bool    `json:"condition_on_previous_text"`
		InitialPrompt  string   `json:"initial_prompt"`
		NoSpeech       *float64 `json:"no_speech_threshold"`
		LogP           *float64 `json:"logprob_threshold"`
	}
	Language string
	Text     string
	Segments []struct {
		Seek        int
		Start, End  float64
		Text        string
		Tokens      []int
		Temperature float64
		LogP        float64 `json:"avg_logprob"`
		Words       []struct {
			Word        string
			Start, End  float64
			Probability float64
		}
	}
}

// melody is audio that Python and Go play alike, since it is made of whole
// numbers: notes of start, length, two tones' steps a sample, and amplitude.
type melody struct {
	Notes   [][5]int64
	Samples int
	Noise   uint64
}

func (m melody) play() []float32 {
	sum := make([]int64, m.Samples)
	tone := func(n, step int64) int64 {
		x := int64(uint32(uint64(n)*uint64(step))) - 1<<31
		return (max(x, -x) >> 15) - 1<<15
	}
	for _, note := range m.Notes {
		start, length := note[0], min(note[1], int64(m.Samples)-note[0])
		for n := range length {
			sum[start+n] += (tone(n, note[2])*note[4] + tone(n, note[3])*(note[4]/2)) >> 16
		}
	}
	out := make([]float32, m.Samples)
	for i := range out {
		z := (uint64(i) + m.Noise<<32 + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		x := sum[i] + int64((z^z>>31)>>57) - 64
		out[i] = float32(max(-32768, min(32767, x))) / 32768
	}
	return out
}

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenOf(t testing.TB, name string) golden {
	t.Helper()
	var g golden
	if err := json.Unmarshal(unzip(t, name+".json.gz"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func floats(t testing.TB, name string) []float32 {
	t.Helper()
	b := unzip(t, name+".f32.gz")
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// parityModel is a model with its sessions.
type parityModel struct {
	model    *models.Model
	runner   *Runner
	sessions models.Sessions
}

func open(t testing.TB, name string) parityModel {
	t.Helper()
	m := modelstest.Folder(t, parity+name)
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	return parityModel{m, r, modelstest.Open(t, m)}
}
