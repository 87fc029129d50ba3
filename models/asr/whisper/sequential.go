package whisper

import (
	"context"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// sequence transcribes a whole tape as the reference does, in the language that
// is heard in its first 30 s.
func (r *Recognizer) sequence(ctx context.Context, tape audio.Reader, speech []episode.Span, usage *models.Usage, d *doubts) (string, []segment, error) {
	spectrum, err := newSpectrum(ctx, r.front, tape)
	if err != nil {
		return "", nil, err
	}
	lang := r.known()
	if lang == "" {
		it, err := spectrum.opening(ctx)
		if err != nil {
			return "", nil, err
		}
		h, err := r.do(ctx, it, usage)
		if err != nil {
			return "", nil, err
		}
		lang = h.Languages[0].Language
	}
	segments, err := r.seek(ctx, spectrum, speech, lang, usage, d)
	return lang, segments, err
}

// seek transcribes a tape window by window, each starting where the last
// timestamp of the one before says that it was heard to, and prompted with
// what was said (transcribe.py). Windows of one episode follow one another;
// those of several share batches.
func (r *Recognizer) seek(ctx context.Context, spectrum *spectrum, speech []episode.Span, lang string, usage *models.Usage, d *doubts) ([]segment, error) {
	var (
		out        []segment
		said       = slices.Clone(r.prompt) // all text tokens and timestamps so far
		promptFrom int                      // of said
		lastSpeech float64
	)
	for at := 0; at < spectrum.frames; {
		size := min(windowFrames, spectrum.frames-at)
		offset, duration := seconds(at), seconds(size)
		if r.params.Guard && !speaks(speech, episode.Span{Start: episode.Seconds(offset), End: episode.Seconds(offset + duration)}) {
			at += size
			continue
		}
		it, err := spectrum.item(ctx, at, size)
		if err != nil {
			return nil, err
		}
		it.Language, it.Previous, it.Seeks = lang, said[promptFrom:], true
		h, err := r.do(ctx, it, usage)
		if err != nil {
			return nil, err
		}
		d.decoded(&h)
		if r.silent(&h) {
			d.leave(&d.noSpeech, r.words.text(h.Tokens), offset)
			at += size
			continue
		}
		segments, heardTo, closed := cutSegments(r.words, &h, offset, size, false)
		next := at + heardTo
		if h.Words != nil {
			placeWords(segments, h.Words, offset, lastSpeech, r.words.eot)
			if end, ok := lastWordEnd(segments); ok {
				if !closed && end > offset {
					next = int(math.RoundToEven(end * sampleRate / hop))
				}
				lastSpeech = end
			}
		}
		clearEmpty(segments)
		for _, s := range segments {
			said = append(said, s.tokens...)
		}
		if r.repeats(&h) {
			d.leave(&d.repeated, h.Text, offset)
			segments = nil
		}
		out = append(out, r.guard(segments, speech, d)...)
		if !r.params.PreviousText || h.Temperature > 0.5 {
			promptFrom = len(said)
		}
		if next <= at {
			next = at + size // the reference would hear this window for ever
		}
		at = next
	}
	return out, nil
}

func seconds(frame int) float64 { return float64(frame) * hop / sampleRate }

// lastWordEnd is where the last word of the segments ends, else the last
// segment (utils.py, get_end).
func lastWordEnd(segments []segment) (float64, bool) {
	for i := len(segments) - 1; i >= 0; i-- {
		if n := len(segments[i].words); n > 0 {
			return segments[i].words[n-1].end, true
		}
	}
	if n := len(segments); n > 0 {
		return segments[n-1].end, true
	}
	return 0, false
}
