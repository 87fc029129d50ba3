package enclosure

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"
)

func packed(t testing.TB, kind string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompressedDocumentsAreUnpacked(t *testing.T) {
	doc := []byte("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n")
	zip := packed(t, "gzip", doc)
	for _, c := range []struct {
		name, encoding string
		body           []byte
	}{
		{"plain", "", doc}, {"identity", "identity", doc}, {"gzip", "gzip", zip}, {"x-gzip", "X-GZIP", zip},
		{"deflate in zlib's frame", "deflate", packed(t, "zlib", doc)}, {"bare deflate", "deflate", packed(t, "flate", doc)},
		{"a .gz file", "", zip}, {"a .gz file that is compressed again", "gzip", packed(t, "gzip", zip)},
		{"one after the other", "deflate, gzip", packed(t, "gzip", packed(t, "zlib", doc))},
		{"only said to be", "gzip", doc}, {"only said to be deflate", "deflate", doc},
	} {
		if got, err := Decompress(c.body, c.encoding, 1000); err != nil || !bytes.Equal(got, doc) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestDocumentsThatCannotBeUnpackedSayWhy(t *testing.T) {
	bomb := bytes.Repeat([]byte{' '}, 10<<20)
	zip := packed(t, "gzip", sound)
	for _, c := range []struct {
		name, encoding string
		body           []byte
		code           string
	}{
		{"brotli", "br", sound[:50], Encoded}, {"a long list", strings.Repeat("deflate,", 50), zip, Encoded},
		{"a bomb", "gzip", packed(t, "gzip", bomb), TooLarge}, {"a bomb", "deflate", packed(t, "zlib", bomb), TooLarge},
		{"a bomb", "deflate", packed(t, "flate", bomb), TooLarge}, {"a bomb in a file", "", packed(t, "gzip", packed(t, "gzip", bomb)), TooLarge},
		{"cut short", "gzip", zip[:len(zip)/2], Damaged}, {"damaged", "", append(bytes.Clone(zip[:len(zip)-8]), make([]byte, 8)...), Damaged},
		{"no more than a mark", "gzip", zip[:3], Damaged}, {"zlib cut short", "deflate", packed(t, "zlib", sound)[:30], Damaged},
	} {
		_, err := Decompress(c.body, c.encoding, 1<<20)
		wantRejection(t, err, c.code)
	}
}

func TestAServerMayCompressWhatIsNotHashed(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Accept-Encoding"); a != "gzip, deflate" {
			t.Errorf("Accept-Encoding %q", a)
		}
		w.Header().Set("Content-Encoding", "gzip")
		if _, err := w.Write(packed(t, "gzip", sound)); err != nil {
			t.Error(err)
		}
	})
	file, body, err := fetch(t, Options{Compressed: true}, url)
	if err != nil || file.Encoding != "gzip" {
		t.Fatalf("%+v, %v", file, err)
	}
	if got, err := Decompress(body, file.Encoding, 1<<20); err != nil || !bytes.Equal(got, sound) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add(packed(f, "gzip", []byte("text")), "gzip")
	f.Add(packed(f, "zlib", []byte("text")), "deflate, gzip")
	f.Add(packed(f, "flate", []byte("text")), "deflate")
	f.Fuzz(func(t *testing.T, body []byte, encoding string) {
		const limit = 1 << 16
		got, err := Decompress(body, encoding, limit)
		if err == nil && len(got) > max(limit, len(body)) {
			t.Errorf("%d bytes", len(got))
		}
	})
}
