package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pairs are the strings that models/train/parity/tokenjson.py also pairs with
// the next.
const pairs = 500

func unzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func everyScript(t testing.TB) []string {
	t.Helper()
	var all []string
	lines := bufio.NewScanner(bytes.NewReader(unzip(t, "testdata/strings.json.gz")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s string
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != 10_000 {
		t.Fatalf("%d strings", len(all))
	}
	return all
}

func open(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Read(unzip(t, filepath.Join("testdata", name+".json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func sum(lists ...[]int) uint32 {
	var b []byte
	for _, ids := range lists {
		for _, id := range ids {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
	}
	return crc32.ChecksumIEEE(b)
}

// Every kind of file gives the ids and the text that the tokenizers library
// gives, on 10,000 strings of every script.
func TestAsTheLibrary(t *testing.T) {
	texts := everyScript(t)
	files, err := filepath.Glob("testdata/*.sums")
	if err != nil || len(files) != 13 {
		t.Fatalf("%d files with sums, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sums")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sums, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if want := 6*len(texts) + 4*pairs; len(sums) != want {
				t.Fatalf("%d bytes of sums, want %d", len(sums), want)
			}
			tok := open(t, name)
			wrong := 0
			differs := func(what, s string, ids []int) {
				if wrong++; wrong <= 5 {
					t.Errorf("%s of %q: %v", what, s, ids)
				}
			}
			for _, s := range texts {
				ids := tok.Encode(s, true)
				if sum(ids) != binary.LittleEndian.Uint32(sums) {
					differs("ids", s, ids)
				}
				spoken := tok.Decode(ids, false) + "\x00" + tok.Decode(ids, true)
				if uint16(crc32.ChecksumIEEE([]byte(spoken))) != binary.LittleEndian.Uint16(sums[4:]) {
					differs("text", s, ids)
				}
				sums = sums[6:]
			}
			for i := range pairs {
				ids, types := tok.EncodePair(texts[i], texts[i+1], true)
				if sum(ids, types) != binary.LittleEndian.Uint32(sums) {
					differs("pair", texts[i]+"\x00"+texts[i+1], ids)
				}
				sums = sums[4:]
			}
			if wrong > 0 {
				t.Errorf("%d of %d differ", wrong, len(texts))
			}
		})
	}
}
