package episode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

func TestCaptionsOfOthersAreRead(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"WebVTT": {"\ufeffWEBVTT - a title\r\nKind: captions\r\n\r\nNOTE\r\nnot said\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\nintro\r\n00:01.500 --> 00:03.000 align:start\r\n<v Fred>Hi, <i>I'm</i> Fred &amp; you?\r\nline two\r\n\r\n01:00:05.000 --> 01:00:06.000\r\nlate\r\n",
			"1.5–3 Hi, I'm Fred & you? line two|3605–3606 late"},
		"SRT":            {"1\n00:00:01,000 --> 00:00:02,500\n{\\an8}<b>Hello</b> there\n\n2\n00:00:02,500 --> 00:00:04,000\nagain\n\n3\n00:00:05,000 --> 00:00:05,000\nno time\n", "1–2.5 Hello there|2.5–4 again"},
		"Podcasting":     {`{"version":"1.0.0","segments":[{"speaker":"A","startTime":0.5,"endTime":2.25,"body":"first one"},{"startTime":3,"body":"no end"},{"startTime":"4.5","endTime":"5","body":"&lt;b&gt;"}]}`, "0.5–2.25 first one|3–4.5 no end|4.5–5 <b>"},
		"a list":         {`[{"start":1,"end":2,"text":"x y"}]`, "1–2 x y"},
		"overlapping":    {"WEBVTT\n\n00:01.000 --> 00:04.000\none\n\n00:02.000 --> 00:05.000\ntwo\n", "1–2 one|2–5 two"},
		"out of order":   {"WEBVTT\n\n00:04.000 --> 00:05.000\nb\n\n00:01.000 --> 00:02.000\na\n", "1–2 a|4–5 b"},
		"word by word":   {wordy(), "0–1.8 This is it.|2–4.1 a b c d e f"},
		"together":       {"WEBVTT\n\n00:01.000 --> 00:03.000\none\n\n00:01.000 --> 00:04.000\none\n\n00:01.000 --> 00:02.000\ntwo\n", "1–4 one two"},
		"no tags":        {"WEBVTT\n\n00:01.000 --> 00:02.000\n3 < 4 and <00:01.500><c.x>5</c> > 2\n", "1–2 3 < 4 and 5 > 2"},
		"controls":       {"WEBVTT\n\n00:01.000 --> 00:02.000\n\x1b[31mre\x00d&#27;\tand\u0085on\n", "1–2 [31mred and on"},
		"absurd times":   {`{"segments":[{"startTime":1,"endTime":2,"body":"x"},{"startTime":3,"endTime":1e300,"body":"y"}]}`, "1–2 x"},
		"no spaces":      {spaceless(), "0–3 你好。|3–6 你好。|6–9 你好。|9–12 你好。|12–15 你好。|15–18 你好。|18–21 你好。|21–24 你好。"},
		"UTF-16":         {"\xff\xfe" + sixteen("WEBVTT\n\n00:01.000 --> 00:02.000\né𝄞\n", binary.LittleEndian), "1–2 é𝄞"},
		"UTF-16, big":    {"\xfe\xff" + sixteen(`[{"start":1,"end":2,"text":"é"}]`, binary.BigEndian), "1–2 é"},
		"Windows-1252":   {"1\n00:00:01,000 --> 00:00:02,000\ncaf\xe9 \x96 \x93oui\x94\n", "1–2 café – “oui”"},
		"damaged":        {"1\n00:00:01,000 --> 00:00:02,000\ncafé olé \xe9\n", "1–2 café olé \uFFFD"},
		"mark, space":    {"\ufeff\n [{\"start\":1,\"end\":2,\"text\":\"x\"}]", "1–2 x"},
		"hours":          {"100:00:00,000 --> 100:00:01,000\nlate\n", "360000–360001 late"},
		"minutes on":     {"75:00.500 --> 75:02.000\nlate\n", "4500.5–4502 late"},
		"long hours":     {"WEBVTT\n\n100:00:00.000 --> 100:00:01.000\nlate\n", "360000–360001 late"},
		"no numbers":     {"00:00:01.000 --> 00:00:02.000\none\n\n00:00:02.000 --> 00:00:03.000\n42\n\n00:00:03.000 --> 00:00:04.000\nthree\n", "1–2 one|2–3 42|3–4 three"},
		"blank inside":   {"1\n00:00:01,000 --> 00:00:02,000\none\n\nand more\n\n2\n00:00:02,000 --> 00:00:03,000\ntwo\n", "1–2 one and more|2–3 two"},
		"old Mac's ends": {"1\r00:00:01,000 --> 00:00:02,000\rone\rtwo\r", "1–2 one two"},
		"settings": {"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nREGION\nid:fred\nwidth:40%\n\nNOTE one line\n\nNOTE\nseveral\nlines\n\n00:01.000 --> 00:02.000 region:fred position:10%,line-left align:left size:35%\n<c.yellow.bg_blue.magenta>one</c> <v.loud.first Mary Ann>two</v> <lang en-GB>three</lang> <ruby>漢<rt>kan</rt></ruby>\n",
			"1–2 one two three 漢"},
		"tag over lines": {"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Fred\nAstaire>one\n", "1–2 one"},
		"broken timing":  {"1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:02,000 --> 00:00:0x\nlost\n\n3\n00:00:03,000 --> 00:00:04,000\nthree\n", "1–2 one|3–4 three"},
		"an arrow said":  {"1\n00:00:01,000 --> 00:00:02,000\nfrom A --> B\n", "1–2 from A --> B"},
		"cut short":      {"WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:02.000 --> 00:0", "1–2 one"},
		"odd JSON":       {`{"segments":[{"speaker":1,"startTime":"00:00:01,500","endTime":"2,5","body":"x"},{"startTime":"soon","endTime":3,"body":"no time"},{"startTime":3,"endTime":"?","body":2024},{"startTime":5,"endTime":6,"body":null},{"startTime":60,"body":"the last"}]}`, "1.5–2.5 x|3–4.4 2024|60–61.8 the last"},
		"ends are far":   {`[{"start":600,"text":"later"},{"start":1,"text":"hello"}]`, "1–2.5 hello|600–601.5 later"},
		"rolling":        {"WEBVTT\n\n00:00.000 --> 00:02.000\none two\n\n00:02.000 --> 00:04.000\none two\nthree four\n\n00:04.000 --> 00:06.000\nthree four\nfive no\n\n00:06.000 --> 00:08.000\nfive no\nno six\n", "0–2 one two|2–4 three four|4–6 five no|6–8 no six"},
		"rolling, YouTube's": {"WEBVTT\nKind: captions\n\n00:00.000 --> 00:02.000 align:start position:0%\n \none<00:00:01.000><c> two</c>\n\n00:02.000 --> 00:02.010\none two\n \n\n00:02.010 --> 00:04.000\none two\nthree<00:00:03.000><c> four</c>\n\n00:04.000 --> 00:04.010\nthree four\n \n\n00:04.010 --> 00:06.000\nthree four\nfive\n\n00:06.000 --> 00:06.010\nfive\n \n\n00:06.010 --> 00:07.000\nfive\nsix\n",
			"0–2 one two|2.01–4 three four|4.01–6 five|6.01–7 six"},
		"growing":         {"1\n00:00:00,000 --> 00:00:01,000\nI\n\n2\n00:00:01,000 --> 00:00:02,000\nI am\n\n3\n00:00:02,000 --> 00:00:03,000\nI am here\n\n4\n00:00:03,000 --> 00:00:04,000\nI am here now\n", "0–1 I|1–2 am|2–3 here|3–4 now"},
		"a refrain":       {"1\n00:00:00,000 --> 00:00:01,000\nNo. No.\n\n2\n00:00:01,000 --> 00:00:02,000\nNo. No.\n\n3\n00:00:02,000 --> 00:00:03,000\nNo. No. Never.\n", "0–1 No. No.|1–2 No. No.|2–3 No. No. Never."},
		"HTML":            {"<!DOCTYPE html><html><head><title>x</title><style>p{}</style></head><body><p>Show notes</p><cite>Kevin:</cite>\n<time>0:01</time>\n<p>Hello &amp; <b>welcome</b>.</p><cite>Alban:</cite> <time datetime=\"PT5S\">[0:00:05]</time><p>Thanks, 3 < 4.</p><script>x()</script></body></html>", "1–3.6 Hello & welcome.|5–7.4 Thanks, 3 < 4."},
		"UTF-16, no mark": {sixteen("1\n00:00:01,000 --> 00:00:02,000\né\n", binary.LittleEndian), "1–2 é"},
		"without blank":   {"1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:02,000 --> 00:00:03,000\ntwo", "1–2 one|2–3 two"},
	} {
		segments, err := ReadCaptions([]byte(c.doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, s := range segments {
			got = append(got, fmt.Sprintf("%v–%v %s", math.Round(float64(s.Start)*1000)/1000, math.Round(float64(s.End)*1000)/1000, s.Text))
			if s.Words[0].Start != s.Start || math.Abs(float64(s.Words[len(s.Words)-1].End-s.End)) > 1e-9 || len(s.Words) != len(strings.Fields(s.Text)) {
				t.Errorf("%s: %q has words %v", name, s.Text, s.Words)
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s:\n%s, want\n%s", name, strings.Join(got, "|"), c.want)
		}
	}
}

func wordy() string {
	var entries []string
	for i, w := range []string{"This", "is", "it.", "", "a", "b", "c", "d", "e", "f"} {
		at := float64(i) * 0.6
		if i > 3 {
			at = 2 + float64(i-4)*0.3
		}
		entries = append(entries, fmt.Sprintf(`{"startTime":%v,"endTime":%v,"body":%q}`, at, at+0.6-0.3*float64(i/4%2), w))
	}
	return `{"segments":[` + strings.Join(entries, ",") + "]}"
}

// spaceless is a transcript of sentences in a language without spaces.
func spaceless() string {
	var b strings.Builder
	for i := range 8 {
		fmt.Fprintf(&b, "00:%02d.000 --> 00:%02d.000\n你好。\n\n", 3*i, 3*i+3)
	}
	return b.String()
}

func sixteen(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func TestWhatIsNoCaptionIsRefused(t *testing.T) {
	for _, doc := range []string{"", "just words", "<html><body>Not found</body></html>", "{}", "[", `{"segments":[{"startTime":"soon","body":"x"}]}`, "WEBVTT\n\n00:05.000 --> 00:01.000\nbackwards\n",
		`{"segments":[{"startTime":1,"endTime":2,"body":"cut sho`, `{"segments":"none"}`, "<p>a page without times</p>",
		"1\n00:00:01,000 --> 00:00:02,000\n\xcf\xf0\xe8\xe2\xe5\xf2\n", // Windows-1251
		"1\n00:00:01,000 --> 00:00:02,000\n" + strings.Repeat("x", longestCue+1),
	} {
		if s, err := ReadCaptions([]byte(doc)); !errors.Is(err, ErrNoCaptions) {
			t.Errorf("%q: %v, %v", doc, s, err)
		}
	}
}

// A document is at most as large as the fetcher lets it be: nothing in it may
// cost time by its square.
func TestHostileDocumentsTakeNoTime(t *testing.T) {
	const size = 1 << 20
	for name, piece := range map[string]string{
		"comments": "<p><!--<script></script>", "tags": "<time<cite", "times": "<time>0:01</time><time>",
		"arrows": "00:00:01,000 --> 00:00:02,000\n", "broken arrows": "1 -->", "brackets": "00:01.000 --> 00:02.000\n<v <v a <c.x{\\\\",
		"brackets in JSON": "[", "words": "00:00:01,000 --> 00:00:02,000\na\n\n",
	} {
		began := time.Now()
		doc := []byte("<html>")
		if piece[0] != '<' {
			doc = nil
		}
		_, _ = ReadCaptions(append(doc, strings.Repeat(piece, size/len(piece))...))
		_, _ = ReadChapters(doc)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func TestOurOwnCaptionsAreReadAgain(t *testing.T) {
	tr := Transcript{Segments: []Segment{{Span: Span{Start: 1.5, End: 2.25}, Text: "a < b & c, he said"}, {Span: Span{Start: 3661.001, End: 3662}, Text: "later on"}}}
	js, err := tr.PodcastJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range [][]byte{tr.WebVTT(), js, tr.SRT()} {
		got, err := ReadCaptions(doc)
		if err != nil || len(got) != 2 || got[0].Text != tr.Segments[0].Text || math.Abs(float64(got[1].Start)-3661.001) > 1e-6 {
			t.Errorf("%s\n%+v, %v", doc, got, err)
		}
	}
}

func TestChaptersAreRead(t *testing.T) {
	doc := `{"version":"1.2.0","chapters":[{"startTime":60,"title":"Two &amp; more"},{"startTime":0,"title":"<i>One</i>"},{"startTime":30,"toc":false,"title":"an image"},{"startTime":90,"title":"<b> </b>"},
		{"startTime":"soon","title":"no time"},{"startTime":"00:01:40","title":3,"img":"https://x/y.png","url":7},{"startTime":"120,5","title":null},{"startTime":-1,"title":"before"},{"startTime":1e300,"title":"absurd"},{"startTime":60,"toc":"false","title":"hidden"}]}`
	got, err := ReadChapters([]byte(doc))
	if err != nil || fmt.Sprint(got) != "[{0 One } {60 Two & more } {100 3 }]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, doc := range []string{"", "[]", `{"chapters":[]}`, `{"chapters":[{"startTime":"x","title":"y"}]}`} {
		if got, err := ReadChapters([]byte(doc)); !errors.Is(err, ErrNoChapters) {
			t.Errorf("%q: %v", doc, got)
		}
	}
}

// A document takes memory in proportion to what people write, not to its bytes.
func TestDocumentsOfNothingTakeNoMemory(t *testing.T) {
	const size, most = 8 << 20, 400 << 20 // bytes
	full := func(start, piece string) []byte {
		return []byte(start + strings.Repeat(piece, (size-len(start))/len(piece)))
	}
	for name, doc := range map[string][]byte{
		"empty segments": append(full(`{"segments":[{}`, ",{}"), "]}"...),
		"empty chapters": append(full(`{"chapters":[{}`, ",{}"), "]}"...),
		"deep lists":     full("", "["),
		"deep objects":   full("", `{"segments":`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, captions := ReadCaptions(doc)
		_, chapters := ReadChapters(doc)
		runtime.ReadMemStats(&after)
		if !errors.Is(captions, ErrNoCaptions) || !errors.Is(chapters, ErrNoChapters) {
			t.Errorf("%s: %v, %v", name, captions, chapters)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%s: %d MiB were allocated for one of %d MiB", name, took>>20, size>>20)
		}
	}
}

func FuzzReadCaptions(f *testing.F) {
	f.Add([]byte("WEBVTT\n\n00:01.500 --> 00:03.000\n<v Fred>Hi\n"))
	f.Add([]byte("1\n00:00:01,000 --> 00:00:02,500\n<b>Hello</b>\n"))
	f.Add([]byte(wordy()))
	f.Add([]byte("<cite>A:</cite><time>0:01</time><p>Hi &amp; <b>you</b></p><time>0:05</time>x"))
	f.Add([]byte("WEBVTT\n\n00:00.000 --> 00:02.000\na\nb\n\n00:02.000 --> 00:04.000\nb\nc\n\n00:04.000 --> 00:06.000\nc\nd\n\n00:06.000 --> 00:08.000\nd\ne\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		began := time.Now()
		segments, err := ReadCaptions(doc)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes took %v", len(doc), took)
		}
		if err != nil {
			if !errors.Is(err, ErrNoCaptions) {
				t.Error(err)
			}
			return
		}
		last := Seconds(0)
		for _, s := range segments {
			if s.Text == "" || s.Start < last || s.End <= s.Start || len(s.Words) == 0 {
				t.Errorf("%+v after %v", s, last)
			}
			last = s.Start
		}
	})
}

func FuzzReadChapters(f *testing.F) {
	f.Add([]byte(`{"chapters":[{"startTime":60,"title":"Two"},{"startTime":0,"title":"One"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		chapters, err := ReadChapters(doc)
		for i, c := range chapters {
			if err != nil || c.Title == "" || i > 0 && c.Start <= chapters[i-1].Start {
				t.Errorf("%+v, %v", chapters, err)
			}
		}
	})
}
