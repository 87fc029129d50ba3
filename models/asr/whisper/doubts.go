package whisper

import (
	"fmt"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// doubts count what was worked around in a transcript, for the record.
type doubts struct {
	windows int
	warm    int     // windows that passed no threshold at temperature 0
	warmest float64 // temperature that was taken
	failed  int     // windows that passed none at any

	unspoken  int // segments of text where nobody speaks
	repeated  int // windows whose text only repeats itself
	noSpeech  int // windows in which the model hears nothing said
	firstLeft episode.Seconds
}

// decoded counts a window.
func (d *doubts) decoded(h *Heard) {
	d.windows++
	if h.Temperature > 0 {
		d.warm++
		d.warmest = max(d.warmest, h.Temperature)
	}
	if !h.Passed {
		d.failed++
	}
}

// leave counts text that is left out, and notes where. at: seconds.
func (d *doubts) leave(count *int, text string, at float64) {
	if strings.TrimSpace(text) == "" {
		return
	}
	if s := episode.Seconds(at); d.left() == 0 || s < d.firstLeft {
		d.firstLeft = s
	}
	*count++
}

func (d *doubts) left() int { return d.unspoken + d.repeated + d.noSpeech }

// Codes of the transcript's warnings.
const (
	codeLeftOut     = "transcript-text-left-out"
	codeTemperature = "transcript-temperature"
)

// warnings say what a reader of the transcript should know.
func (d *doubts) warnings() []episode.Warning {
	var all []episode.Warning
	if d.left() > 0 {
		var why []string
		for _, w := range []struct {
			n    int
			what string
		}{
			{d.unspoken, "segments where nobody speaks"},
			{d.repeated, "windows that only repeat themselves"},
			{d.noSpeech, "windows in which the model hears nothing said"},
		} {
			if w.n > 0 {
				why = append(why, fmt.Sprintf("%s: %d", w.what, w.n))
			}
		}
		all = append(all, episode.Warning{Code: codeLeftOut, Detail: fmt.Sprintf("text is left out, the first at %.2f s; %s", float64(d.firstLeft), strings.Join(why, ", "))})
	}
	if d.warm > 0 || d.failed > 0 {
		detail := fmt.Sprintf("windows decoded at a temperature above 0: %d of %d, up to %g", d.warm, d.windows, d.warmest)
		if d.failed > 0 {
			detail += fmt.Sprintf("; that passed the thresholds at none: %d", d.failed)
		}
		all = append(all, episode.Warning{Code: codeTemperature, Detail: detail})
	}
	return all
}
