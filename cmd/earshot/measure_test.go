package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
	"github.com/earshot-fm/earshot/models/pack"
)

// measureFault makes the measuring process of a test fail: "killed" as by the
// kernel, or "hangs:FIFO" after it has opened that for writing.
const measureFault = "EARSHOT_TEST_MEASURE"

// measureChild is the program as measureModel starts it again.
func measureChild() {
	how, fifo, _ := strings.Cut(os.Getenv(measureFault), ":")
	switch how {
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hangs":
		if _, err := os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	main()
}

func builtIn(t *testing.T, ref string) *models.Model {
	t.Helper()
	catalog, err := models.LoadCatalog(pack.Files())
	if err != nil {
		t.Fatal(err)
	}
	m, err := catalog.Get(ref)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAModelIsMeasuredInAProcessOfItsOwn(t *testing.T) {
	folders, err := models.LoadCatalog(models.Dir(ownModel(t, "earshot-vad", "my-vad", "max_items: 16", "max_items: 3")))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := folders.Get("my-vad")
	if err != nil {
		t.Fatal(err)
	}
	for m, sizes := range map[*models.Model]int{builtIn(t, "earshot-vad"): 5, mine: 3} {
		p, err := measureModel(t.Context(), m, measuring{device: "cpu", rounds: 1})
		if err != nil {
			t.Fatal(err)
		}
		if !p.Measured() || p.SHA256 != m.SHA256 || p.Model != m.Manifest.Ref() || p.Device != (&app{probers: newProbers()}).processor(t.Context(), deviceConfig{}).Name || !strings.HasSuffix(p.Build, "+cpu") || len(p.Points) != sizes || p.LoadSeconds <= 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestAMeasuringProcessThatFailsSaysHow(t *testing.T) {
	m := builtIn(t, "earshot-vad")
	t.Run("is killed", func(t *testing.T) {
		t.Setenv(measureFault, "killed")
		if _, err := measureModel(t.Context(), m, measuring{device: "cpu"}); err == nil || !strings.Contains(err.Error(), "signal (killed)") || !strings.Contains(err.Error(), "memory") {
			t.Errorf("%v", err)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		fifo := filepath.Join(t.TempDir(), "hangs")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(measureFault, "hangs:"+fifo)
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		told := make(chan error, 1)
		go func() {
			f, err := os.Open(fifo) // when the process has come so far
			if err == nil {
				err = f.Close()
			}
			cancel(enough)
			told <- err
		}()
		if _, err := measureModel(ctx, m, measuring{device: "cpu"}); !errors.Is(err, enough) || !strings.Contains(err.Error(), "measure earshot-vad@1 on cpu: stopped before it was done") {
			t.Errorf("%v", err)
		}
		if err := <-told; err != nil {
			t.Error(err)
		}
	})
	t.Run("has no such device", func(t *testing.T) {
		if _, err := measureModel(t.Context(), m, measuring{device: "cuda:99"}); err == nil || exitCode(t.Context(), err) != exitMissingPart && exitCode(t.Context(), err) != exitUsage {
			t.Errorf("%v", err)
		}
	})
}

func TestModelsBench(t *testing.T) {
	state := t.TempDir()
	small := ownModel(t, "earshot-vad", "my-vad", "max_items: 16", "max_items: 2")
	out, stderr, code := command(t, "models", "bench", "my-vad", "--models", small, "--state", state, "--device", "cpu", "--rounds", "1", "-o", "json")
	var b benched
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	if b.Schema != benchSchema || len(b.Runs) != 2 || len(b.Recommended) != 1 {
		t.Fatalf("%+v", b)
	}
	for i, r := range b.Runs {
		// The race detector's own memory is in both measures: how near they are is not told here.
		if r.Device != "cpu" || r.Model != "my-vad@1" || r.Precision != "fp32" || r.Items != i+1 || r.Unit != "audio hours/h" || r.Throughput <= 0 || r.P99 < r.Median || r.Predicted <= 0 || r.Measured <= 0 || r.Error != nil {
			t.Errorf("%+v", r)
		}
	}
	kept, err := gpu.OpenProfiles(profilesPath(state))
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := ort.New(ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := models.LoadCatalog(models.Dir(small))
	if err != nil {
		t.Fatal(err)
	}
	key := gpu.ProfileKey{SHA256: own.All()[0].SHA256, Device: (&app{probers: newProbers()}).processor(t.Context(), deviceConfig{}).Name, Build: runtime.Build(), Precision: "fp32"}
	if p, ok := kept.Get(key); !ok || !p.Measured() || p.Best().Items != b.Recommended[0].BatchItems {
		t.Errorf("kept for %+v: %+v, %v", key, p, ok)
	}
	for _, args := range [][]string{{"--device", "tpu:0"}, {"--rounds", "-1"}, {"no-such-model"}} {
		if _, stderr, code := command(t, append([]string{"models", "bench", "--state", state}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestTheBenchTableFitsAHundredColumns(t *testing.T) {
	var out strings.Builder
	a := &app{out: &out, err: io.Discard, format: "text"}
	long := benchedRun{
		Device: "cuda:0", Model: "earshot-punctuation@1:int8", Precision: "int8", Items: 128, Throughput: 123456, Unit: "audio hours/h",
		Median: 0.00012345, P99: 12.345, Predicted: 1234 << 20, Measured: 1230 << 20, Holds: true, Error: &deviation{Max: 1, Mean: 0.00123, RMS: 1},
	}
	exact := long
	exact.Items, exact.Holds, exact.Error = 64, false, nil
	if err := a.printBench(&benched{
		Runs: []benchedRun{long, exact}, Recommended: []recommendation{{"cuda:0", long.Model, "int8", 64}},
		Notes: []string{"a note"}, names: map[string]string{"cuda:0": "Tesla T4"},
	}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(line)) - 1; n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{"Tesla T4", "64 *", "0.12 %", "123µs", "12.3s", "1230.0 MiB !", "recommended on cuda:0: earshot-punctuation@1:int8 (int8) in batches of 64", "a note"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestRecommendedIsTheFastestPrecisionWhoseErrorIsSmall(t *testing.T) {
	in := func(precision string, median float64, d *deviation) candidate {
		return candidate{gpu.Profile{ProfileKey: gpu.ProfileKey{Precision: precision}, Points: []gpu.Point{{Items: 4, Median: median}}}, d}
	}
	exact := in("fp32", 4, nil)
	near, far := in("fp16", 2, &deviation{Mean: 0.001, RMS: 1}), in("int8", 1, &deviation{Mean: 0.1, RMS: 1})
	for want, list := range map[string][]candidate{
		"fp32": {exact, far},
		"fp16": {exact, far, near},
		"int8": {far},
	} {
		if got := recommend("cpu", list); got.Precision != want || got.BatchItems != 4 || got.Device != "cpu" {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

func TestAPredictionHoldsFromAboveAndNear(t *testing.T) {
	const m = 1 << 20
	for _, c := range []struct {
		predicted, measured int64
		want                bool
	}{
		{100 * m, 100 * m, true}, {110 * m, 100 * m, true}, {111 * m, 100 * m, false}, {99 * m, 100 * m, false},
		{3 * m, 1 * m, true}, {4 * m, 1 * m, false},
	} {
		if got := predictionHolds(c.predicted, c.measured); got != c.want {
			t.Errorf("%d for %d: %v", c.predicted, c.measured, got)
		}
	}
}

// A model that is another's in lower precision: here the built-in one, with its
// outputs scaled by a runtime.
func TestTheErrorIsThatOfTheFirstGraphsOutputs(t *testing.T) {
	exact, err := models.LoadCatalog(models.Dir(ownModel(t, "earshot-vad", "my-vad", "", "")), models.Dir(ownModel(t, "earshot-vad", "my-vad", "version: 1", "version: 2")))
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := ort.New(ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := exact.Get("my-vad@1")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := deviationOf(t.Context(), runtime, exact, m, "cpu"); d != nil || err != nil {
		t.Errorf("fp32 itself: %+v, %v", d, err)
	}
	lower := *m
	lower.Manifest.Precision = "fp16"
	d, err := deviationOf(t.Context(), runtime, exact, &lower, "cpu")
	if err != nil || d.Max != 0 || d.Mean != 0 || d.RMS <= 0 {
		t.Errorf("the same graph: %+v, %v", d, err)
	}
	scaledRuntime := &scaledFrom{Runtime: runtime, after: len(m.Manifest.Sessions)}
	d, err = deviationOf(t.Context(), scaledRuntime, exact, &lower, "cpu")
	if err != nil || d.relative() > 0.25 || d.relative() < 0.05 || d.Max < d.Mean {
		t.Errorf("outputs times 1.25: %+v, %v", d, err)
	}
}

// scaledFrom gives sessions opened after the first few that give too much.
type scaledFrom struct {
	models.Runtime
	after int
}

func (s *scaledFrom) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	session, err := s.Runtime.Open(ctx, graph, device)
	if s.after--; s.after >= 0 || err != nil {
		return session, err
	}
	return &brokenSession{Session: session, harm: func(_ string, t models.Tensor, _ int64) models.Tensor { return scaled(t, 1.25) }}, nil
}
