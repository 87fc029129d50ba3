package episode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// jsonCues reads {"segments": [{startTime, endTime, body, speaker}]} of
// Podcasting 2.0, and [{start, end, text}] with or without an object around it.
func jsonCues(doc string) ([]cue, error) {
	type entry struct {
		StartTime jsonTime `json:"startTime"`
		EndTime   jsonTime `json:"endTime"`
		Start     jsonTime `json:"start"`
		End       jsonTime `json:"end"`
		Body      jsonText `json:"body"`
		Text      jsonText `json:"text"`
		Speaker   jsonText `json:"speaker"`
	}
	var whole struct {
		Segments shortList[entry] `json:"segments"`
	}
	var err error
	if doc[0] == '[' {
		err = json.Unmarshal([]byte(doc), &whole.Segments)
	} else {
		err = json.Unmarshal([]byte(doc), &whole)
	}
	if err != nil {
		return nil, err
	}
	cues := make([]cue, 0, len(whole.Segments))
	for _, e := range whole.Segments {
		c := cue{speaker: string(e.Speaker)}
		if e.Body != "" || e.Text != "" {
			c.text = plain(markup.ReplaceAllString(string(e.Body)+" "+string(e.Text), ""))
		}
		// NaN, of a time that is none, prevails.
		c.Start = Seconds(max(e.StartTime.seconds, e.Start.seconds))
		c.End = Seconds(max(e.EndTime.seconds, e.End.seconds))
		cues = append(cues, c)
	}
	endAtNext(cues)
	return cues, nil
}

// mostEntries bounds a list of what may be cues, empty ones among them.
const mostEntries = 4 * maxCues

// shortList reads a JSON list and refuses one of more than mostEntries before it
// takes the memory: two characters of a document are an entry.
type shortList[T any] []T

func (l *shortList[T]) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		return json.Unmarshal(b, (*[]T)(l)) // null, or what no list is
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		if len(*l) == mostEntries {
			return fmt.Errorf("more than %d entries", mostEntries)
		}
		var e T
		if err := d.Decode(&e); err != nil {
			return err
		}
		*l = append(*l, e)
	}
	return nil
}

// endAtNext has cues that do not say when they end do so where the next begins.
func endAtNext(cues []cue) {
	slices.SortStableFunc(cues, byStart)
	for i := range cues {
		c := &cues[i]
		if c.End != 0 && c.End > c.Start {
			continue
		}
		c.End = c.Start + likelyLength(c.text)
		if i+1 < len(cues) && cues[i+1].Start > c.Start {
			c.End = min(cues[i+1].Start, c.End)
		}
	}
}

// jsonTime reads seconds as a number, or as a text that is a number or a clock
// time. What is neither is NaN: one such entry does not spoil a document.
type jsonTime struct{ seconds float64 }

func (t *jsonTime) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `" `)
	if s == "" || s == "null" {
		return nil
	}
	if m := clockForm.FindStringSubmatch(s); m != nil {
		t.seconds = float64(clockTime(m[1:5]))
		return nil
	}
	f, err := strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64)
	if err != nil || math.IsInf(f, 0) {
		f = math.NaN()
	}
	t.seconds = f
	return nil
}

var clockForm = regexp.MustCompile(`^` + timeForm + `$`)

// jsonText reads a text, or a number or truth value where a text belongs: a
// speaker's number, a word that is one. Anything else is no text.
type jsonText string

func (t *jsonText) UnmarshalJSON(b []byte) error {
	var s string
	switch c := b[0]; {
	case c == '"':
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = jsonText(s)
	case c != '{' && c != '[' && c != 'n':
		*t = jsonText(b)
	}
	return nil
}
