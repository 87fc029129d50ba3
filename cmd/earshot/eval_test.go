package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

// evaluationFolder is one episode of the sample, or its first seconds, with the
// truths that are named.
func evaluationFolder(t *testing.T, seconds int, truths map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	audio := "../../sample/feed/old-dog.wav"
	if seconds > 0 {
		audio = shortEpisode(t, seconds)
	}
	b, err := os.ReadFile(audio)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "old-dog.wav"), string(b))
	write(t, filepath.Join(dir, "unknown.wav"), "left out")
	for name, content := range truths {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

func TestAnEvaluationSaysHowNearTheRecordsCame(t *testing.T) {
	truth, err := os.ReadFile("../../sample/truth/old-dog.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := evaluationFolder(t, 0, map[string]string{"truth/old-dog.json": string(truth)})
	out, stderr, code := command(t, "eval", dir, "-o", "json")
	var e evaluation
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	if len(e.Episodes) != 1 || e.Episodes[0].File != "old-dog.wav" || e.RealTimeFactor <= 0 {
		t.Fatalf("%+v", e)
	}
	f := e.Total
	if f.Words == nil || f.Words.Words != 252 || f.Words.WER > 0.3 || f.Speech == nil || f.Speech.F1 < 0.8 || f.Language == nil || f.Language.Right != 1 ||
		f.Sounds == nil || f.Sounds.F1 < 0.5 || f.Topic1 == nil || f.Topic3 == nil || f.Ads == nil || f.Highlight == nil || f.Highlight.Chance <= 0 {
		t.Errorf("%s", out)
	}
}

func TestWhatATruthDoesNotSayIsLeftOut(t *testing.T) {
	for name, truth := range map[string]string{
		"old-dog.txt": "Good dogs are old dogs, as I’ve said.",
		"old-dog.srt": "1\n00:00:01,000 --> 00:00:02,000\nGood dogs are old dogs, as I've said.\n",
	} {
		dir := evaluationFolder(t, 8, map[string]string{name: truth})
		out, stderr, code := command(t, "eval", dir)
		if code != exitOK {
			t.Fatal(stderr)
		}
		head := strings.Split(out, "\n")[2]
		if !strings.Contains(head, "WER") || strings.Contains(head, "TOPIC") || strings.Contains(head, "LANGUAGE") || strings.Contains(head, "SPEECH") != strings.HasSuffix(name, ".srt") {
			t.Errorf("%s: %s", name, head)
		}
		if !strings.Contains(out, "(8)") {
			t.Errorf("%s: not eight words:\n%s", name, out)
		}
	}
	if _, stderr, code := command(t, "eval", evaluationFolder(t, 8, nil)); code != exitUsage || !strings.Contains(stderr, "no audio with a truth is there (2 files of audio without)") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if _, stderr, code := command(t, "eval", evaluationFolder(t, 8, map[string]string{"old-dog.json": `{"schema": "earshot.truth/9"}`})); code != exitUsage || !strings.Contains(stderr, "earshot.truth/1") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestSpansAreComparedStepByStep(t *testing.T) {
	span := func(from, to float64) episode.Span {
		return episode.Span{Start: episode.Seconds(from), End: episode.Seconds(to)}
	}
	for _, c := range []struct {
		want, got            []episode.Span
		step                 episode.Seconds
		found, wrong, missed int
	}{
		{[]episode.Span{span(1, 2)}, []episode.Span{span(1.5, 2.5)}, 0.01, 50, 50, 50},
		{[]episode.Span{span(1, 3)}, []episode.Span{span(2.05, 4)}, 1, 1, 1, 1},
		{[]episode.Span{span(1, 3)}, []episode.Span{span(0.95, 3.05)}, 1, 2, 0, 0},
		{nil, nil, 1, 0, 0, 0},
		{nil, []episode.Span{span(0, 100)}, 1, 0, 10, 0},
	} {
		d := compareSpans(c.want, c.got, 10, c.step)
		if d.Found != c.found || d.Wrong != c.wrong || d.Missed != c.missed {
			t.Errorf("%v, %v: %+v", c.want, c.got, d)
		}
	}
}

func TestAHighlightIsComparedWithChance(t *testing.T) {
	h := compareHighlight(episode.Span{Start: 100, End: 120}, episode.Span{Start: 80, End: 140}, 200)
	// A span of 60 s holds 18 of its 20 s from 58 to 102: 44 of 140 s of places.
	if h.Inside != 1 || h.Played != 1 || h.FirstMinute != 0 || math.Abs(h.Chance-44.0/140) > 0.01 {
		t.Errorf("%+v", h)
	}
}

func TestFiguresSum(t *testing.T) {
	var f figures
	f.sum(figures{Words: &wordCount{Words: 10, Errors: 1}, Ads: &detection{Found: 8, Missed: 2}, Highlight: &highlighted{Inside: 1, Of: 1, Played: 1, Chance: 0.2}})
	f.sum(figures{Words: &wordCount{Words: 30, Errors: 3}, Topic1: &share{Right: 1, Of: 1}})
	f.sum(figures{Ads: &detection{}, Highlight: &highlighted{Of: 1, Played: 0.5, Chance: 0.4, FirstMinute: 1}})
	if f.Words.WER != 0.1 || f.Ads.F1 != 0.8889 || f.Topic1.Share != 1 || f.Speech != nil || f.Highlight.Share != 0.5 || f.Highlight.Played != 0.75 || math.Abs(f.Highlight.Chance-0.3) > 1e-9 || f.Highlight.FirstMinute != 0.5 {
		t.Errorf("%+v %+v %+v", f.Words, f.Ads, f.Highlight)
	}
}

func TestWordsAreCountedAlike(t *testing.T) {
	for _, c := range []struct{ text, language, want string }{
		{"“I’ve said: 'well-known' — don't!”", "en", "i've said well known don't"},
		{"नमस्ते दुनिया", "hi", "नमस्ते दुनिया"},
		{"你好，世界。", "zh-Hant", "你 好 世 界"},
	} {
		if got := strings.Join(wordsIn(c.text, c.language), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestATruthThatIsNoneIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"another name": {"talk.json", `{"schema":"earshot.truth/1","langage":"fr"}`, "says nothing that is compared"},
		"backwards":    {"talk.json", `{"schema":"earshot.truth/1","ads":[{"start":5,"end":3}]}`, "a span from 5 to 3"},
		"another form": {"talk.json", `{"schema":"earshot.truth/9"}`, `schema is "earshot.truth/9"`},
		"no words":     {"talk.txt", " \n", "says nothing that is compared"},
		"no captions":  {"talk.vtt", "WEBVTT\n\n00:0", "no text with times"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "talk.wav"), "")
		write(t, filepath.Join(dir, c.file), c.content)
		if _, stderr, code := command(t, "eval", dir); code != exitUsage || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.file) {
			t.Errorf("%s: exit code %d, %s, want %s", name, code, stderr, c.want)
		}
	}
	file := filepath.Join(t.TempDir(), "talk.wav")
	write(t, file, "")
	if _, stderr, code := command(t, "eval", file); code != exitUsage || !strings.Contains(stderr, "name the folder") {
		t.Errorf("a file: exit code %d, %s", code, stderr)
	}
}

func TestATruthInUTF16IsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "talk.txt"), "\xff\xfeh\x00\xe9\x00")
	truth, ok, err := findTruth(filepath.Join(dir, "talk"))
	if err != nil || !ok || truth.text != "hé" {
		t.Errorf("%q, %v, %v", truth.text, ok, err)
	}
}
