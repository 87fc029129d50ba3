package whisper

import (
	"fmt"
	"math"
	"strings"
)

// attempt is one item's decoding at one temperature.
type attempt struct {
	number int // of the item, as its Feed counts
	item   Item
	heard  block // the encoder's output: [1, 1500, d]
	try    int   // which of the temperatures
	draws  *draws

	prompt   []int
	sotAt    int // the place of <|startoftranscript|> in the prompt
	said     []int
	sum      float64 // of the log-probabilities
	noSpeech float64
	done     bool
}

// last is the token that the next step is given.
func (a *attempt) last() int {
	if len(a.said) == 0 {
		return a.prompt[len(a.prompt)-1]
	}
	return a.said[len(a.said)-1]
}

// begin makes the first attempt ready, or the next one after a failure.
func (r *Runner) begin(a *attempt) error {
	start, err := r.words.start(a.item.Language, r.params.Task)
	if err != nil {
		return err
	}
	a.prompt = nil
	if len(a.item.Previous) > 0 {
		previous := a.item.Previous
		a.prompt = append(a.prompt, r.words.sotPrev)
		a.prompt = append(a.prompt, previous[max(0, len(previous)-(r.words.context/2-1)):]...)
	}
	a.sotAt = len(a.prompt)
	a.prompt = append(a.prompt, start...)
	if a.item.Unstamped {
		a.prompt = append(a.prompt, r.words.noStamps)
	}
	a.said, a.sum, a.done = nil, 0, false
	a.draws = newDraws(r.params.Seed, a.item.Content, a.temperature(r))
	return nil
}

func (a *attempt) temperature(r *Runner) float64 { return r.params.Temperatures[a.try] }

// hear takes the logits that follow the last token, [vocabulary], and says the
// next one. The logits are changed. Logits that are no numbers (what a graph in
// half precision gives when it overflows) are an error: the first token of the
// vocabulary would be said to the end.
func (r *Runner) hear(a *attempt, logits []float32) error {
	logits = logits[:r.words.size] // an export may pad the vocabulary
	rules{r.words}.apply(logits, a.said, !a.item.Unstamped)
	token, logP := choose(logits, a.temperature(r), a.draws)
	if math.IsNaN(logP) {
		return fmt.Errorf("whisper: %s: the logits of token %d are not finite", r.decoder.file, len(a.prompt)+len(a.said))
	}
	a.sum += logP
	if token == r.words.eot {
		a.done = true
		return nil
	}
	a.said = append(a.said, token)
	// The reference's bounds: half the context for the text, and the context.
	a.done = len(a.said) >= r.words.context/2 || len(a.prompt)+len(a.said) > r.words.context
	return nil
}

// judge gives what the attempt has heard, and whether it is good enough, as the
// reference's decode_with_fallback has it.
func (r *Runner) judge(a *attempt) (Heard, bool) {
	h := Heard{
		Tokens: a.said, Text: strings.TrimSpace(r.words.spelled(a.said)),
		LogP: a.sum / float64(len(a.said)+1), NoSpeech: a.noSpeech, Temperature: a.temperature(r),
	}
	h.Compression = compressionRatio(h.Text)
	h.Passed = h.Compression <= r.params.MaxCompression && h.LogP >= r.params.MinLogP ||
		h.NoSpeech > r.params.MaxNoSpeech && h.LogP < r.params.MinLogP
	return h, h.Passed || a.try+1 == len(r.params.Temperatures)
}

// softmax gives probabilities, in double precision.
func softmax(logits []float32) []float64 {
	p := make([]float64, len(logits))
	top, sum := float64(highest(logits)), 0.0
	for i, x := range logits {
		p[i] = math.Exp(float64(x) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
