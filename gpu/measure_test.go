package gpu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
)

// measuredModel has one graph that the fake engine opens.
func measuredModel(b models.Batch) *models.Model {
	graph := []byte("weights")
	sum := sha256.Sum256(graph)
	return &models.Model{
		Manifest: models.Manifest{
			Name: "measured", Version: 1, Precision: "fp32",
			Files:    map[string]string{"model.onnx": hex.EncodeToString(sum[:])},
			Sessions: []string{"model.onnx"},
			Batch:    b,
		},
		Files:  fstest.MapFS{"model.onnx": {Data: graph}},
		SHA256: "0123",
	}
}

// measuredDevice is memory as a fake engine takes it: an arena that keeps what it once
// had, a context that the first graph makes, and weights.
type measuredDevice struct {
	taken, arena, total int64
	opened              []string
	closed              int
}

const (
	contextBytes = 300 << 20
	weightBytes  = 50 << 20
	itemBytes    = 10 << 20
)

func (d *measuredDevice) Build() string { return "fake-1+gpu" }

func (d *measuredDevice) Open(_ context.Context, graph []byte, device string) (models.Session, error) {
	s := &measuredSession{device: d, weights: weightBytes}
	if d.taken == 0 {
		d.taken, s.weights = contextBytes, 0
	}
	d.taken += s.weights
	d.opened = append(d.opened, device)
	return s, nil
}

type measuredSession struct {
	device  *measuredDevice
	weights int64
}

func (s *measuredSession) Run(_ context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	need := int64(0)
	if t, ok := in["items"]; ok {
		need = t.Shape()[0] * itemBytes
	}
	if d := s.device; need > d.arena {
		if d.taken+need-d.arena > d.total {
			return nil, fmt.Errorf("fake: %w", models.ErrOutOfMemory)
		}
		d.taken += need - d.arena
		d.arena = need
	}
	return nil, nil
}

func (s *measuredSession) Close() error {
	s.device.closed++
	s.device.taken -= s.weights
	return nil
}

func (d *measuredDevice) Devices(context.Context) ([]Hardware, error) { return nil, nil }
func (d *measuredDevice) Watch(context.Context, func(Event)) error    { return ErrUnsupported }
func (d *measuredDevice) Read(context.Context, string) (Reading, error) {
	return Reading{UsedBytes: d.taken}, nil
}
func (d *measuredDevice) Close() error { return nil }

// padding is a runner whose items cost what they are padded to: tens.
type padding struct{ batches *[]int }

func (padding) Cost(n int) float64 { return float64(10 * ((n + 9) / 10)) }
func (padding) Bucket(n int) int   { return (n + 9) / 10 }

func (r padding) Run(ctx context.Context, sessions models.Sessions, batch []int) ([]int, error) {
	*r.batches = append(*r.batches, len(batch))
	for _, n := range batch {
		if r.Bucket(n) != r.Bucket(batch[0]) {
			return nil, errors.New("items of two buckets in a batch")
		}
	}
	_, err := sessions["model.onnx"].Run(ctx, map[string]models.Tensor{"items": models.NewTensor(make([]bool, len(batch)), int64(len(batch)))})
	return batch, err
}

func measured(t *testing.T, total int64, b models.Batch, memory int64) (Profile, *measuredDevice, []int, error) {
	t.Helper()
	d := &measuredDevice{total: total}
	m := measuredModel(b)
	var batches []int
	r := padding{&batches}
	o := MeasureOptions{Runtime: d, Device: "cuda:0", Name: "Tesla T4", Meter: DriverMeter{d, "GPU-1"}, Rounds: 2, MemoryBytes: memory}
	p, err := Measure(t.Context(), m, o, func(context.Context) ([]Workload, error) {
		if d.closed != len(m.Manifest.Sessions) || len(d.opened) != d.closed+1 {
			t.Errorf("a rehearsal with %d sessions opened and %d closed: want all but the trivial one", len(d.opened), d.closed)
		}
		w, err := NewWorkload(m, r, []int{3, 31, 38, 7})
		return []Workload{w}, err
	})
	if d.closed != len(d.opened) {
		t.Errorf("%d sessions opened, %d closed", len(d.opened), d.closed)
	}
	return p, d, batches, err
}

func TestMeasureCountsWhatTheModelTakesAndNotTheContext(t *testing.T) {
	p, d, batches, err := measured(t, 16<<30, models.Batch{MaxItems: 11}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p.Device != "Tesla T4" || p.Build != "fake-1+gpu" || p.WeightsBytes != weightBytes || p.Model != "measured@1" || p.SHA256 != "0123" || p.Precision != "fp32" {
		t.Errorf("%+v", p)
	}
	var items []int
	for _, pt := range p.Points {
		items = append(items, pt.Items)
		if pt.Bytes != int64(pt.Items)*itemBytes || pt.Cost != float64(40*pt.Items) || pt.Median <= 0 || pt.P99 < pt.Median {
			t.Errorf("%+v", pt)
		}
	}
	if !slices.Equal(items, []int{1, 2, 4, 8, 11}) {
		t.Errorf("sizes %d", items)
	}
	for _, n := range items {
		if !slices.Contains(batches, n) {
			t.Errorf("no batch of %d has run: %d", n, batches)
		}
	}
	if slices.ContainsFunc(d.opened, func(on string) bool { return on != "cuda:0" }) {
		t.Errorf("opened on %q", d.opened)
	}
}

func TestMeasureKeepsToWhatABatchMayCost(t *testing.T) {
	for _, c := range []struct {
		batch models.Batch
		want  []int
	}{
		{models.Batch{MaxItems: 1}, []int{1}},
		{models.Batch{MaxItems: 64, MaxCost: 250}, []int{1, 2, 4, 6}}, // 40 each
		{models.Batch{MaxItems: 64, MaxCost: 30}, []int{1}},           // one item may cost more
		{models.Batch{MaxItems: 8, MaxCost: 320}, []int{1, 2, 4, 8}},
	} {
		p, _, _, err := measured(t, 16<<30, c.batch, 0)
		var got []int
		for _, pt := range p.Points {
			got = append(got, pt.Items)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: sizes %d, %v", c.batch, got, err)
		}
	}
}

func TestADeviceWithoutMemoryEndsTheSizes(t *testing.T) {
	// Room for the context, the weights and five items.
	p, _, _, err := measured(t, contextBytes+weightBytes+5*itemBytes, models.Batch{MaxItems: 64}, 0)
	if err != nil || len(p.Points) != 3 || p.Points[2].Items != 4 {
		t.Errorf("%+v, %v", p.Points, err)
	}
	// What is known not to fit is not tried: on the CPU it would end the process.
	p, _, batches, err := measured(t, 16<<30, models.Batch{MaxItems: 64}, weightBytes+5*itemBytes)
	if err != nil || len(p.Points) != 3 || slices.Max(batches) != 4 {
		t.Errorf("%+v, batches %d, %v", p.Points, batches, err)
	}
	if _, _, _, err := measured(t, contextBytes+weightBytes, models.Batch{MaxItems: 64}, 0); !errors.Is(err, models.ErrOutOfMemory) || !strings.Contains(err.Error(), "not one item") {
		t.Errorf("%v", err)
	}
}

func TestAModelWithNothingToDoCannotBeMeasured(t *testing.T) {
	if _, err := NewWorkload(measuredModel(models.Batch{MaxItems: 1}), padding{}, nil); err == nil || !strings.Contains(err.Error(), "nothing to do") {
		t.Errorf("%v", err)
	}
}

func TestIncludeKeepsTheMostMemoryAndTheLeastTime(t *testing.T) {
	p := Profile{WeightsBytes: 10, Points: []Point{{Items: 1, Cost: 1, Bytes: 100, Median: 2, P99: 3}, {Items: 2, Cost: 2, Bytes: 300, Median: 2, P99: 3}}}
	before := slices.Clone(p.Points)
	own := p.Points
	p.Include(&Profile{WeightsBytes: 12, Points: []Point{{Items: 1, Cost: 1, Bytes: 150, Median: 1, P99: 4}, {Items: 2, Cost: 2, Bytes: 200, Median: 5, P99: 9}, {Items: 4, Cost: 4, Bytes: 900, Median: 7, P99: 7}}})
	want := []Point{{Items: 1, Cost: 1, Bytes: 150, Median: 1, P99: 4}, {Items: 2, Cost: 2, Bytes: 300, Median: 2, P99: 3}}
	if p.WeightsBytes != 12 || !slices.Equal(p.Points[:2], want) || p.envelope(4) < 900 {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(own, before) {
		t.Error("the points that another holder may read were written to")
	}
}

// Memory outside Go's heap stands in for what native code takes.
func TestResidentMeterSeesWhatARunTakesAndWhatStays(t *testing.T) {
	var r ResidentMeter
	const bytes, near = 64 << 20, 4 << 20
	take := func() []byte {
		b, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return b
	}
	release := func(b []byte) {
		if err := syscall.Munmap(b); err != nil {
			t.Fatal(err)
		}
	}
	held := func() int64 {
		n, err := r.Held(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	is := func(what string, got, want int64) {
		t.Helper()
		if got < want-near || got > want+near {
			t.Errorf("%s: %d bytes, want %d", what, got, want)
		}
	}
	before := held()
	peak, err := r.Peak(t.Context(), func() error {
		release(take())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	is("a run that takes and gives back", peak-before, bytes)
	is("after it", held()-before, 0)
	kept := take()
	is("what stays", held()-before, bytes)
	peak, err = r.Peak(t.Context(), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	is("a run that takes nothing, beside it", peak-before, bytes)
	release(kept)
	failed := errors.New("failed")
	if _, err := r.Peak(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}

func TestTheTrivialGraphIsAModel(t *testing.T) {
	g, err := models.ReadGraph(trivialGraph())
	if err != nil || len(g.Inputs) != 1 || g.Inputs[0].Name != "x" || len(g.Inputs[0].Shape) != 4 || len(g.Outputs) != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestAWorkloadHasABatchOfEachShapeTheCostliestLast(t *testing.T) {
	var batches []int
	w, err := NewWorkload(measuredModel(models.Batch{MaxItems: 4}), padding{&batches}, []int{31, 3, 38, 17})
	if err != nil {
		t.Fatal(err)
	}
	cost, runs := w.Batch(3)
	if cost != 3*40 || len(runs) != 3 { // tens, twenties and forties
		t.Fatalf("cost %v, %d runs", cost, len(runs))
	}
	d := &measuredDevice{total: 1 << 40, taken: 1}
	sessions := models.Sessions{"model.onnx": &measuredSession{device: d}}
	for _, run := range runs {
		if err := run(t.Context(), sessions); err != nil {
			t.Error(err) // of two buckets in a batch, too
		}
	}
	if !slices.Equal(batches, []int{3, 3, 3}) {
		t.Errorf("batches of %d", batches)
	}
}
