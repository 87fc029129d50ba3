package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// TestDemoTwice is `make demo` and again: the second reuses every artifact.
func TestDemoTwice(t *testing.T) {
	out := t.TempDir()
	stdout, stderr, code := program(t, "demo", "--sample", "../../sample", "--out", out)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, pattern := range []string{"records/*.json", "transcripts/*.vtt", "transcripts/*.srt", "transcripts/*.json", "previews/*.ogg", "previews/*.m4a", "index.db"} {
		if files, _ := filepath.Glob(filepath.Join(out, pattern)); len(files) == 0 {
			t.Errorf("the demo left no %s", pattern)
		}
	}
	first := records(t, out)
	if len(first) != 8 {
		t.Errorf("%d records", len(first))
	}
	stdout, stderr, code = program(t, "demo", "--sample", "../../sample", "--out", out, "-o", "json")
	if code != exitOK {
		t.Fatalf("second demo: exit code %d\n%s%s", code, stdout, stderr)
	}
	var rows []demoRow
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil {
		t.Fatal(err)
	}
	effects := map[string]bool{"publish": true, "index": true, "announce": true}
	for _, row := range rows {
		for name, n := range row.Record.Run.Nodes {
			if n.Status == "ran" && !effects[name] {
				t.Errorf("second demo: %s: %s ran: %s", row.Slug, name, n.Reason)
			}
		}
	}
	for name, body := range records(t, out) {
		if body != first[name] {
			t.Errorf("second demo: the content of %s changed", name)
		}
	}
	found, stderr, code := program(t, "search", "--state", out, "--language", "en", "-o", "json")
	if code != exitOK || !strings.Contains(found, `"moments"`) {
		t.Errorf("search: exit code %d, %s%s", code, found, stderr)
	}
	var english, like index.Page
	if err := json.Unmarshal([]byte(found), &english); err != nil || len(english.Hits) != 5 {
		t.Fatalf("search: %v, %d English episodes, want 5", err, len(english.Hits))
	}
	id := english.Hits[0].ID
	found, stderr, code = program(t, "search", "--state", out, "--like", string(id), "-o", "json")
	if err := json.Unmarshal([]byte(found), &like); err != nil || code != exitOK || len(like.Hits) != 4 {
		t.Fatalf("search --like: exit code %d, %v, %d episodes, want the other 4 with an embedding: %s", code, err, len(like.Hits), stderr)
	}
	for _, h := range like.Hits {
		if h.ID == id || h.Score <= 0 || h.Score > 1 {
			t.Errorf("like %s: %+v", id, h)
		}
	}
}

// records are the contents of the records under a folder, by file.
func records(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "records", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		out[filepath.Base(f)] = content(t, f)
	}
	return out
}

func content(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r episode.Record
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	c, err := r.Content()
	if err != nil {
		t.Fatal(err)
	}
	return string(c)
}

// TestBatchAndStreamGiveTheSameBytes enriches one episode alone and among
// seven others.
func TestBatchAndStreamGiveTheSameBytes(t *testing.T) {
	alone, together := t.TempDir(), t.TempDir()
	files, err := filepath.Glob("../../sample/feed/*.*")
	if err != nil {
		t.Fatal(err)
	}
	var audio []string
	for _, f := range files {
		if filepath.Ext(f) != ".xml" {
			audio = append(audio, f)
		}
	}
	if _, stderr, code := program(t, append([]string{"enrich", "--state", t.TempDir(), "--out", together}, audio...)...); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, f := range audio[:3] {
		if _, stderr, code := program(t, "enrich", "--state", t.TempDir(), "--out", alone, f); code != exitOK {
			t.Fatalf("%s: exit code %d\n%s", f, code, stderr)
		}
	}
	all := records(t, together)
	for name, body := range records(t, alone) {
		if all[name] != body {
			t.Errorf("%s is another alone than in company", name)
		}
	}
}

// TestWhatIsNoEpisodeIsRejectedWithItsReason covers files that no retry helps.
func TestWhatIsNoEpisodeIsRejectedWithItsReason(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		body   []byte
		reason string
	}{
		"empty.mp3": {nil, "empty-file"},
		"page.mp3":  {[]byte("<!DOCTYPE html><html><body>404</body></html>"), "not-audio"},
		"short.wav": {wav(44100, 1, make([]int16, 30)), "nothing-to-hear"},
	} {
		file := filepath.Join(dir, name)
		write(t, file, string(c.body))
		_, stderr, code := program(t, "enrich", "--state", t.TempDir(), file)
		if code != exitRejected || !strings.Contains(stderr, c.reason) {
			t.Errorf("%s: exit code %d, %s; want %s", name, code, stderr, c.reason)
		}
	}
}

// TestSoundWithoutSpeechStillGetsAPreview is a tone: no language, no words.
func TestSoundWithoutSpeechStillGetsAPreview(t *testing.T) {
	samples := make([]int16, 2*44100*75)
	for i := range len(samples) / 2 {
		v := int16(8000 * math.Sin(2*math.Pi*440*float64(i)/44100))
		samples[2*i], samples[2*i+1] = v, v/2
	}
	file, out := filepath.Join(t.TempDir(), "tone.wav"), t.TempDir()
	write(t, file, string(wav(44100, 2, samples)))
	if _, stderr, code := program(t, "enrich", "--state", t.TempDir(), "--out", out, file); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	var r episode.Record
	if err := json.Unmarshal([]byte(content(t, filepath.Join(out, "records", "tone.json"))), &r); err != nil {
		t.Fatal(err)
	}
	if r.Preview == nil || len(r.Preview.Renditions) == 0 || r.Transcript != nil && len(r.Transcript.Segments) > 0 {
		t.Errorf("record: %+v", r)
	}
}

// wav is a 16-bit PCM file of interleaved samples.
func wav(rate, channels int, samples []int16) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	n := uint32(2 * len(samples))
	b.WriteString("RIFF")
	put(36 + n)
	b.WriteString("WAVEfmt ")
	put(uint32(16))
	put(uint16(1))
	put(uint16(channels))
	put(uint32(rate))
	put(uint32(rate * channels * 2))
	put(uint16(channels * 2))
	put(uint16(16))
	b.WriteString("data")
	put(n)
	put(samples)
	return b.Bytes()
}

// TestFourEpisodesShareBatches reads from the metrics how full batches are.
func TestFourEpisodesShareBatches(t *testing.T) {
	file := filepath.Join(t.TempDir(), "metrics.txt")
	args := []string{"enrich", "--state", t.TempDir(), "--metrics", file}
	for _, name := range []string{"old-dog.wav", "corner-shop.flac", "bread-at-home.m4a", "atelier.m4a"} {
		args = append(args, "../../sample/feed/"+name)
	}
	if _, stderr, code := program(t, args...); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(name string) (total float64) {
		for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(text, -1) {
			v, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			total += v
		}
		return total
	}
	items, batches := sum("earshot_batch_items_sum"), sum("earshot_batch_items_count")
	if batches == 0 || items/batches <= 2 {
		t.Errorf("%v items in %v batches: want more than two each on average", items, batches)
	}
	t.Logf("%.1f items a batch", items/batches)
}
