package whisper

import (
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/models"
)

// Families that this package runs.
const (
	Family           = "whisper"
	BeamSearchFamily = "whisper-beam-search"
)

// What the parameters may say.
const (
	taskTranscribe = "transcribe"
	taskTranslate  = "translate" // into English

	longPieces     = "pieces"     // stretches of speech, side by side
	longSequential = "sequential" // the reference's seek from window to window
)

// Params are the model's parameters in its manifest; what is not given is as
// the reference has it.
type Params struct {
	LongForm       string    `yaml:"long_form"`                  // "pieces" or "sequential"
	Language       string    `yaml:"language"`                   // "": heard by the model itself
	Task           string    `yaml:"task"`                       // "transcribe" or "translate"
	InitialPrompt  string    `yaml:"initial_prompt"`             // names and words to expect
	PreviousText   bool      `yaml:"condition_on_previous_text"` // sequential: the text so far prompts the next window
	Temperatures   []float64 `yaml:"temperatures"`               // tried in order until one passes
	Seed           uint64    `yaml:"seed"`                       // of the draws at temperatures above 0
	MaxCompression float64   `yaml:"compression_ratio_threshold"`
	MinLogP        float64   `yaml:"logprob_threshold"`
	MaxNoSpeech    float64   `yaml:"no_speech_threshold"`
	WordTimes      bool      `yaml:"word_times"`     // by cross-attention where the graph gives it, else interpolated
	Guard          bool      `yaml:"guard"`          // leave out text where there is no speech, and loops
	LanguageBelow  float64   `yaml:"confidence"`     // language identification: "und" below this
	Windows        int       `yaml:"windows"`        // language identification: how many are listened to
	PieceSeconds   float64   `yaml:"piece_seconds"`  // the longest piece
	JoinSeconds    float64   `yaml:"join_seconds"`   // pauses that stay within a piece
	MarginSeconds  float64   `yaml:"margin_seconds"` // of audio around speech
	Beams          int       `yaml:"beams"`          // whisper-beam-search
	LengthPenalty  float64   `yaml:"length_penalty"` // whisper-beam-search
	Repetition     float64   `yaml:"repetition"`     // whisper-beam-search: the penalty, 1 is none
	MaxTokens      int       `yaml:"max_tokens"`     // whisper-beam-search: of the prompt and the text
}

// readParams decodes the manifest's parameters over the reference's defaults.
func readParams(m *models.Model) (Params, error) {
	p := Params{
		LongForm: longPieces, Task: taskTranscribe, PreviousText: true,
		Temperatures:   []float64{0, 0.2, 0.4, 0.6, 0.8, 1},
		MaxCompression: 2.4, MinLogP: -1, MaxNoSpeech: 0.6,
		WordTimes: true, Guard: true, LanguageBelow: 0.5, Windows: 4,
		PieceSeconds: 28, JoinSeconds: 1.5, MarginSeconds: 0.2,
		Beams: 5, LengthPenalty: 1, Repetition: 1, MaxTokens: 448,
	}
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, fmt.Errorf("whisper: model %s: parameters.%w", m.Manifest.Ref(), err)
	}
	return p, nil
}

func (p *Params) check() error {
	switch {
	case p.LongForm != longPieces && p.LongForm != longSequential:
		return fmt.Errorf("long_form: want %q or %q, got %q", longPieces, longSequential, p.LongForm)
	case p.Task != taskTranscribe && p.Task != taskTranslate:
		return fmt.Errorf("task: want %q or %q, got %q", taskTranscribe, taskTranslate, p.Task)
	case len(p.Temperatures) == 0 || slices.ContainsFunc(p.Temperatures, func(t float64) bool { return !(t >= 0 && t <= 2) }):
		return fmt.Errorf("temperatures: want one or more of 0 to 2, got %v", p.Temperatures)
	case !(p.MaxCompression > 0):
		return fmt.Errorf("compression_ratio_threshold: want more than 0, got %v", p.MaxCompression)
	case !(p.MaxNoSpeech >= 0 && p.MaxNoSpeech <= 1):
		return fmt.Errorf("no_speech_threshold: want 0 to 1, got %v", p.MaxNoSpeech)
	case !(p.LanguageBelow >= 0 && p.LanguageBelow <= 1):
		return fmt.Errorf("confidence: want 0 to 1, got %v", p.LanguageBelow)
	case p.Windows < 1:
		return fmt.Errorf("windows: want 1 or more, got %d", p.Windows)
	case !(p.PieceSeconds >= 1 && p.PieceSeconds <= windowSeconds):
		return fmt.Errorf("piece_seconds: want 1 to %d, got %v", windowSeconds, p.PieceSeconds)
	case !(p.JoinSeconds >= 0):
		return fmt.Errorf("join_seconds: want 0 or more, got %v", p.JoinSeconds)
	case !(p.MarginSeconds >= 0 && 2*p.MarginSeconds < p.PieceSeconds):
		return fmt.Errorf("margin_seconds: want less than half a piece, got %v", p.MarginSeconds)
	case p.Beams < 1:
		return fmt.Errorf("beams: want 1 or more, got %d", p.Beams)
	case p.MaxTokens < 8:
		return fmt.Errorf("max_tokens: want 8 or more, got %d", p.MaxTokens)
	}
	return nil
}
