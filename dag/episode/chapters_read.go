package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ErrNoChapters is wrapped by ReadChapters' error for a document that holds no
// chapters.
var ErrNoChapters = errors.New("chapters: nothing to read")

// maxChapters bounds what a document may hold.
const maxChapters = 1000

// ReadChapters reads a publisher's chapters: Podcasting 2.0's JSON, version
// 1.2. Chapters are in order, each with a title; those that the publisher
// leaves out of the table of contents ("toc": false) are left out here too.
func ReadChapters(doc []byte) ([]Chapter, error) {
	var d struct {
		Chapters []struct {
			StartTime jsonTime `json:"startTime"`
			Title     string   `json:"title"`
			TOC       *bool    `json:"toc"`
		} `json:"chapters"`
	}
	if err := json.Unmarshal([]byte(DocumentText(doc)), &d); err != nil {
		return nil, fmt.Errorf("%w: not Podcasting 2.0 JSON: %w", ErrNoChapters, err)
	}
	if len(d.Chapters) > maxChapters {
		return nil, fmt.Errorf("%w: %d of them, and %d are possible", ErrNoChapters, len(d.Chapters), maxChapters)
	}
	var out []Chapter
	for _, c := range d.Chapters {
		if title := plain(markup.ReplaceAllString(c.Title, "")); title != "" && c.StartTime.seconds >= 0 && (c.TOC == nil || *c.TOC) {
			out = append(out, Chapter{Start: Seconds(c.StartTime.seconds), Title: title})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none has a title and a time", ErrNoChapters)
	}
	slices.SortStableFunc(out, func(a, b Chapter) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	return slices.CompactFunc(out, func(a, b Chapter) bool { return a.Start == b.Start }), nil
}
