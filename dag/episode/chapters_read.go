package episode

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ErrNoChapters is wrapped by ReadChapters' error for a document that holds no
// chapters.
var ErrNoChapters = errors.New("chapters: nothing to read")

// maxChapters and longestTitle, in bytes, bound what a document may hold.
const (
	maxChapters  = 1000
	longestTitle = 2000
)

// ReadChapters reads a publisher's chapters: Podcasting 2.0's JSON, version
// 1.2. Chapters are in order, each with a title; those that the publisher
// leaves out of the table of contents ("toc": false) are left out here too.
func ReadChapters(doc []byte) ([]Chapter, error) {
	type chapter struct {
		StartTime jsonTime `json:"startTime"`
		Title     jsonText `json:"title"`
		TOC       jsonText `json:"toc"`
	}
	var d struct {
		Chapters shortList[chapter] `json:"chapters"`
	}
	if err := json.Unmarshal([]byte(DocumentText(doc)), &d); err != nil {
		return nil, fmt.Errorf("%w: not Podcasting 2.0 JSON: %w", ErrNoChapters, err)
	}
	if len(d.Chapters) > maxChapters {
		return nil, fmt.Errorf("%w: %d of them, and %d are possible", ErrNoChapters, len(d.Chapters), maxChapters)
	}
	var out []Chapter
	for _, c := range d.Chapters {
		title := plain(markup.ReplaceAllString(string(c.Title), ""))
		start := Seconds(c.StartTime.seconds)
		if title == "" || len(title) > longestTitle || !(start >= 0 && start <= latest) || c.TOC == "false" {
			continue
		}
		out = append(out, Chapter{Start: start, Title: title})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none has a title and a time", ErrNoChapters)
	}
	slices.SortStableFunc(out, func(a, b Chapter) int { return cmp.Compare(a.Start, b.Start) })
	return slices.CompactFunc(out, func(a, b Chapter) bool { return a.Start == b.Start }), nil
}
