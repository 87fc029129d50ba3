package episode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

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
	if err := json.Unmarshal(bytes.TrimPrefix(bytes.TrimSpace(doc), []byte("\ufeff")), &d); err != nil {
		return nil, fmt.Errorf("chapters: not Podcasting 2.0 JSON: %w", err)
	}
	if len(d.Chapters) > maxChapters {
		return nil, fmt.Errorf("chapters: %d of them, and %d are possible", len(d.Chapters), maxChapters)
	}
	var out []Chapter
	for _, c := range d.Chapters {
		if title := plain(c.Title); title != "" && c.StartTime.seconds >= 0 && (c.TOC == nil || *c.TOC) {
			out = append(out, Chapter{Start: Seconds(c.StartTime.seconds), Title: title})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("chapters: none has a title and a time")
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
