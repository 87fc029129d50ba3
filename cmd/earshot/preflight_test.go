package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPreflightNamesEveryFaultInOneRun breaks six things at once.
func TestPreflightNamesEveryFaultInOneRun(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(dir, "a-file")
	write(t, file, "no folder")
	config := filepath.Join(dir, "config.yaml")
	write(t, config, `
generation: 0
worker: {slots: -1}
models: {folders: [`+filepath.Join(dir, "nowhere")+`]}
storage: {artifacts: `+file+`/artifacts, origin: "file://`+file+`"}
operator: {listen: "`+taken.Addr().String()+`"}
`)
	out, errs, code := command(t, "preflight", "--config", config, "--state", filepath.Join(dir, "state"), "-o", "json")
	if code != exitMissingPart {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	var findings []finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for _, f := range findings {
		named[f.Of] = strings.Join(f.Faults, "\n")
	}
	for of, words := range map[string][]string{
		"configuration":    {"config: generation", "config: worker.slots"},
		"graph and models": {"nowhere"},
		"artifacts":        {file},
		"origin":           {file},
		"operator port":    {"address already in use"},
		"codecs":           {""},
		"state folder":     {""},
	} {
		for _, w := range words {
			if faults, there := named[of]; !there || !strings.Contains(faults, w) || w == "" && faults != "" {
				t.Errorf("%s: %q, want %q in it", of, faults, w)
			}
		}
	}
	if !strings.Contains(errs, "preflight: 6 faults") {
		t.Errorf("standard error: %s", errs)
	}
}

func TestPreflightLeavesNothingBehind(t *testing.T) {
	state := t.TempDir()
	out, errs, code := command(t, "preflight", "--state", state)
	if code != exitOK || strings.Contains(out, "FAULT") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	err := filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "preflight") {
			t.Errorf("left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFaultsAreTakenApart(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	if got := faultsOf(fmt.Errorf("%w, which is %w", a, b)); !slices.Equal(got, []string{"a, which is b"}) {
		t.Errorf("%q", got)
	}
	got := preflight(t.Context(), []inspection{{"x", func(context.Context) ([]string, error) {
		return nil, fmt.Errorf("x: %w", errors.Join(a, errors.Join(b, c)))
	}}})
	if !slices.Equal(got[0].Faults, []string{"x: a", "x: b", "x: c"}) {
		t.Errorf("%q", got[0].Faults)
	}
}
