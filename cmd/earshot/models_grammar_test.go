package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAGrammarIsCompiled(t *testing.T) {
	packed, err := os.Open("../../models/asr/testdata/order3.arpa.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	arpa, to := filepath.Join(dir, "lm.arpa"), filepath.Join(dir, "lm.bin")
	write(t, arpa, string(text))
	out, stderr, code := command(t, "models", "grammar", arpa, to)
	compiled, err := os.ReadFile(to)
	if code != exitOK || err != nil || !strings.HasPrefix(out, to+": ") || len(compiled)*2 > len(text) {
		t.Fatalf("exit code %d, %q, %s, %d bytes of %d, %v", code, out, stderr, len(compiled), len(text), err)
	}
	write(t, arpa, "no grammar")
	_, stderr, code = command(t, "models", "grammar", arpa, to)
	after, err := os.ReadFile(to)
	if code != exitUsage || !strings.Contains(stderr, "lm.arpa: asr: compile an n-gram model: read ARPA, line 1") || err != nil || string(after) != string(compiled) {
		t.Errorf("exit code %d, %s: what was there is left: %v, %v", code, stderr, string(after) == string(compiled), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("files %v, %v", files, err)
	}
}
