package models

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readLabels reads a file of labels, in the order of the output's last axis:
// AudioSet's table as YAMNet, PANNs and CED come with it (CSV whose header
// names columns index, mid and display_name), or one name a line.
func readLabels(b []byte) ([]Label, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if !strings.Contains(string(first), "display_name") {
		return lineLabels(string(b))
	}
	r := csv.NewReader(bytes.NewReader(b))
	head, err := r.Read()
	if err != nil {
		return nil, err
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.TrimSpace(name)] = i
	}
	for _, name := range []string{"index", "mid", "display_name"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("the table has no column %q (has %s)", name, strings.Join(head, ", "))
		}
	}
	var labels []Label
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return labels, nil
		}
		if err != nil {
			return nil, err
		}
		if row[column["index"]] != strconv.Itoa(len(labels)) {
			return nil, fmt.Errorf("row %d has index %q: labels must be in the order of the model's output", len(labels), row[column["index"]])
		}
		labels = append(labels, Label{Name: row[column["display_name"]], ID: row[column["mid"]]})
	}
}

func lineLabels(s string) ([]Label, error) {
	var labels []Label
	for line := range strings.Lines(s) {
		name := strings.TrimSpace(line)
		if name == "" {
			return nil, fmt.Errorf("line %d is empty", len(labels)+1)
		}
		labels = append(labels, Label{Name: name})
	}
	return labels, nil
}
