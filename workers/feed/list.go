package feed

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html/charset"
)

// maxList bounds a list of feeds, in bytes: some hundred thousand of them.
const maxList = 64 << 20

// ReadList reads a list of feeds: a text with one address a line, or OPML 2.0
// as podcast apps export it. In a text, empty lines and lines that begin with #
// say nothing, and the word "private" after an address marks it (Source). In
// OPML an outline's xmlUrl is an address, whatever folder it is in, and
// private="true" marks it; an address in two folders is one feed. The error
// names the line, and shows no address that may hold a secret.
func ReadList(r io.Reader) ([]Source, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxList+1))
	if err != nil {
		return nil, fmt.Errorf("feed list: %w", err)
	}
	if len(body) > maxList {
		return nil, fmt.Errorf("feed list: more than %d bytes", maxList)
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return readOPML(body)
	}
	return readLines(body)
}

// listed collects the sources of a list, with the line of each.
type listed struct {
	sources []Source
	lines   map[string]int // by what tells the feed from others
}

func (l *listed) add(s Source, line int) (first int, err error) {
	// Secrets are looked up when the list is used, not when it is read.
	sub, err := s.subscribe(func(string) (string, error) { return "secret", nil })
	if err != nil {
		return 0, fmt.Errorf("feed list: line %d: %w", line, err)
	}
	if first, twice := l.lines[sub.name]; twice {
		return first, nil
	}
	l.lines[sub.name] = line
	l.sources = append(l.sources, s)
	return 0, nil
}

func readLines(body []byte) ([]Source, error) {
	all := listed{lines: map[string]int{}}
	scanner := bufio.NewScanner(bytes.NewReader(body))
	scanner.Buffer(nil, 64<<10)
	line := 0
	for scanner.Scan() {
		line++
		words := strings.Fields(scanner.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) > 2 || len(words) == 2 && words[1] != "private" {
			return nil, fmt.Errorf("feed list: line %d: want an address and perhaps the word private after it", line)
		}
		first, err := all.add(Source{URL: words[0], Private: len(words) == 2}, line)
		if err != nil {
			return nil, err
		}
		if first > 0 {
			return nil, fmt.Errorf("feed list: line %d: the feed of line %d again", line, first)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("feed list: line %d: %w", line+1, err)
	}
	return all.sources, nil
}

func readOPML(body []byte) ([]Source, error) {
	all := listed{lines: map[string]int{}}
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = charset.NewReaderLabel
	root := ""
	for {
		token, err := d.Token()
		line, _ := d.InputPos()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("feed list: line %d: not OPML: %w", line, err)
		}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			root = element.Name.Local
			if root != "opml" {
				return nil, fmt.Errorf("feed list: line %d: the document is <%.40s>, not <opml>", line, root)
			}
		}
		if element.Name.Local != "outline" {
			continue
		}
		var s Source
		for _, a := range element.Attr {
			switch {
			case strings.EqualFold(a.Name.Local, "xmlUrl"):
				s.URL = strings.TrimSpace(a.Value)
			case a.Name.Local == "private":
				s.Private = strings.EqualFold(strings.TrimSpace(a.Value), "true")
			}
		}
		if s.URL == "" {
			continue // a folder
		}
		if _, err := all.add(s, line); err != nil {
			return nil, err
		}
	}
	if root == "" {
		return nil, errors.New("feed list: not OPML: no element is in it")
	}
	return all.sources, nil
}
