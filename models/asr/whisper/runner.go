package whisper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// Runner decodes windows. Each has its own place: one that is done leaves the
// batch and another item of the queue takes its place under the same lease.
//
// An Optimum export has no mask over the cache, so that only attempts with the
// same number of tokens can step together. The runner always steps those that
// are furthest behind; when they have caught up with others they are one batch
// from there on. The encoder and the first step run for one item at a time,
// since 1500 frames fill the device by themselves and nothing of an item then
// depends on its batch.
type Runner struct {
	words   *vocabulary
	params  Params
	encoder string
	decoder decoder
	mels    int
	places  int
	least   int // rows of a step of the decoder
}

var _ models.Refiller[Item, Heard] = (*Runner)(nil)

// NewRunner makes the runner of a model of family "whisper": sessions are the
// encoder's graph and the merged decoder's, in this order.
func NewRunner(m *models.Model) (*Runner, error) {
	words, params, err := read(m, Family, "the encoder's graph", "the merged decoder's")
	if err != nil {
		return nil, err
	}
	f := &m.Manifest
	d, err := newDecoder(m, f.Sessions[1])
	if err != nil {
		return nil, fmt.Errorf("whisper: model %s: %w", f.Ref(), err)
	}
	return &Runner{words: words, params: params, encoder: f.Sessions[0], decoder: d, mels: f.Frontend.Mels, places: f.Batch.MaxItems, least: f.Batch.Least()}, nil
}

// read reads what the families have in common, and checks that the model is of
// one of them, with its graphs.
func read(m *models.Model, family string, graphs ...string) (*vocabulary, Params, error) {
	f := &m.Manifest
	var wrong error
	switch {
	case f.Family != family:
		wrong = fmt.Errorf("family: want %q, got %q", family, f.Family)
	case f.Frontend == nil || f.Frontend.Kind != "whisper":
		wrong = errors.New("frontend: want {kind: whisper, mels: 80 or 128}")
	case len(f.Sessions) != len(graphs):
		wrong = fmt.Errorf("sessions: want %s, got %v", strings.Join(graphs, " and "), f.Sessions)
	}
	if wrong != nil {
		return nil, Params{}, fmt.Errorf("whisper: model %s: %w", f.Ref(), wrong)
	}
	words, err := readVocabulary(m)
	if err != nil {
		return nil, Params{}, err
	}
	params, err := readParams(m)
	return words, params, err
}

// Cost is a window's 30 seconds: silence is decoded like speech.
func (r *Runner) Cost(Item) float64 { return windowSeconds }

// Length is the window's seconds of audio: the rest of it is silence.
func (r *Runner) Length(it Item) float64 { return float64(it.Frames) * hop / sampleRate }

// Bucket is one for all: every window has one shape.
func (r *Runner) Bucket(Item) int { return 0 }

// Run decodes a batch of windows.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Item) ([]Heard, error) {
	return models.RunByRefill(ctx, r, sessions, batch)
}

// Refill decodes windows, in as many places as the manifest's batch has.
func (r *Runner) Refill(ctx context.Context, sessions models.Sessions, feed models.Feed[Item, Heard]) error {
	l := loop{Runner: r, ctx: ctx, sessions: sessions, feed: feed}
	return l.run()
}

// loop is one run of a Refill.
type loop struct {
	*Runner
	ctx      context.Context // of the run, which the loop does not outlive
	sessions models.Sessions
	feed     models.Feed[Item, Heard]
	taken    int
	cohorts  []*cohort
}

func (l *loop) run() error {
	for {
		if err := l.admit(); err != nil {
			return err
		}
		if len(l.cohorts) == 0 {
			return nil
		}
		if err := l.advance(l.behind()); err != nil {
			return err
		}
	}
}

func (l *loop) active() int {
	n := 0
	for _, c := range l.cohorts {
		n += len(c.attempts)
	}
	return n
}

// admit fills the free places from the feed. While items are under way it waits
// until half of the places are free: newcomers that come together catch up
// together.
func (l *loop) admit() error {
	for {
		active := l.active()
		if active > 0 && 2*(l.places-active) < l.places {
			return nil
		}
		items := l.feed.Take(l.places - active)
		if len(items) == 0 {
			return nil
		}
		for _, it := range items {
			a := &attempt{number: l.taken, item: it}
			l.taken++
			if err := l.listen(a); err != nil {
				return err
			}
		}
	}
}

// listen encodes an item's window and begins its first attempt.
func (l *loop) listen(a *attempt) error {
	var err error
	if a.heard, err = l.encode(a.item.Mel); err != nil {
		return err
	}
	if a.item.Identify {
		h, err := l.identify(a.heard)
		if err == nil {
			l.feed.Deliver(a.number, h)
		}
		return err
	}
	return l.start(a)
}

// encode gives the encoder's output for a window's log-mel: [1, 1500, d].
func (l *loop) encode(mel []float32) (block, error) {
	if len(mel) != l.mels*windowFrames {
		return block{}, fmt.Errorf("whisper: a log-mel of %d values, want [%d, %d]", len(mel), l.mels, windowFrames)
	}
	s, ok := l.sessions[l.encoder]
	if !ok {
		return block{}, fmt.Errorf("whisper: no session %q is open", l.encoder)
	}
	out, err := s.Run(l.ctx, map[string]models.Tensor{"input_features": models.NewTensor(mel, 1, int64(l.mels), windowFrames)})
	if err != nil {
		return block{}, fmt.Errorf("whisper: encode 30 s: %w", err)
	}
	return l.decoder.output(out, "last_hidden_state", 1, -1, -1)
}

// identify reads the languages' probabilities after <|startoftranscript|>.
func (l *loop) identify(heard block) (Heard, error) {
	o, err := l.decoder.open(l.ctx, l.sessions, [][]int64{{int64(l.words.sot)}}, heard)
	if err != nil {
		return Heard{}, err
	}
	logits := o.logits.row(0)
	if err := l.checkLogits(len(logits)); err != nil {
		return Heard{}, err
	}
	some := make([]float32, len(l.words.languages))
	for i, lang := range l.words.languages {
		some[i] = logits[lang.token]
	}
	if math.IsNaN(logSumExp(some)) {
		return Heard{}, fmt.Errorf("whisper: %s: the logits of the languages are not finite", l.decoder.file)
	}
	h := Heard{Languages: make([]Likelihood, len(some))}
	for i, p := range softmax(some) {
		h.Languages[i] = Likelihood{l.words.languages[i].code, p}
	}
	slices.SortStableFunc(h.Languages, func(a, b Likelihood) int {
		switch {
		case a.Probability > b.Probability:
			return -1
		case a.Probability < b.Probability:
			return 1
		}
		return 0
	})
	return h, nil
}

// checkLogits finds a decoder whose vocabulary is smaller than its tokenizer's;
// a larger one has been padded.
func (l *loop) checkLogits(size int) error {
	if size < l.words.size {
		return fmt.Errorf("whisper: the decoder gives %d logits, and the vocabulary has %d tokens: %s is another model's", size, l.words.size, tokenizerFile)
	}
	return nil
}

// start runs an attempt's prompt and hears its first token.
func (l *loop) start(a *attempt) error {
	for {
		if err := l.begin(a); err != nil {
			return err
		}
		prompt := make([]int64, len(a.prompt))
		for i, t := range a.prompt {
			prompt[i] = int64(t)
		}
		o, err := l.decoder.open(l.ctx, l.sessions, [][]int64{prompt}, a.heard)
		if err != nil {
			return err
		}
		all := o.logits.row(0)
		size := len(all) / len(prompt)
		if err := l.checkLogits(size); err != nil {
			return err
		}
		a.noSpeech = softmax(all[a.sotAt*size:][:l.words.size])[l.words.noSpeech]
		if err := l.hear(a, all[(len(prompt)-1)*size:]); err != nil {
			return err
		}
		if !a.done {
			c := o.cohort
			c.attempts = []*attempt{a}
			l.cohorts = append(l.cohorts, &c)
			return nil
		}
		again, err := l.finish(a)
		if err != nil || !again {
			return err
		}
	}
}

// behind takes out the attempts with the fewest tokens, as one cohort: those
// that have caught up with others join them here, all at once, since joining
// copies their caches.
func (l *loop) behind() *cohort {
	least := slices.MinFunc(l.cohorts, func(a, b *cohort) int { return a.past - b.past }).past
	var same, rest []*cohort
	for _, c := range l.cohorts {
		if c.past == least {
			same = append(same, c)
		} else {
			rest = append(rest, c)
		}
	}
	if c := same[0]; len(same) > 1 || c.heard.rows() < l.least {
		c.merge(l.least, same[1:]...)
	}
	l.cohorts = rest
	return same[0]
}

// advance steps a cohort once. Attempts that end leave it; those that failed
// start again at the next temperature.
func (l *loop) advance(c *cohort) error {
	logits, err := l.decoder.step(l.ctx, l.sessions, c)
	if err != nil {
		return err
	}
	var ended []*attempt
	for i, a := range c.attempts {
		if err := l.hear(a, logits.row(i)); err != nil {
			return err
		}
		if a.done {
			ended = append(ended, a)
		}
	}
	c.drop(l.least, func(a *attempt) bool { return a.done })
	if len(c.attempts) > 0 {
		l.cohorts = append(l.cohorts, c)
	}
	for _, a := range ended {
		again, err := l.finish(a)
		if err != nil {
			return err
		}
		if again {
			if err := l.start(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish delivers what an attempt heard, or makes the next one ready.
func (l *loop) finish(a *attempt) (again bool, err error) {
	h, taken := l.judge(a)
	if !taken {
		a.try++
		return true, nil
	}
	if l.params.WordTimes && l.decoder.attends {
		if h.Words, err = l.align(a, h); err != nil {
			return false, err
		}
	}
	l.feed.Deliver(a.number, h)
	return false, nil
}
