package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// rack is a machine's GPUs, which a test makes fail.
type rack struct {
	gpus   []gpu.Hardware
	events chan gpu.Event
	watch  error // that Watch ends with
	closed int
	heard  int // times that signals were listened to again
}

func (r *rack) Devices(context.Context) ([]gpu.Hardware, error) { return r.gpus, nil }
func (r *rack) Read(context.Context, string) (gpu.Reading, error) {
	return gpu.Reading{UsedBytes: 1 << 30, OwnBytes: 1 << 29}, nil
}

func (r *rack) Watch(ctx context.Context, report func(gpu.Event)) error {
	if r.watch != nil {
		return r.watch
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.events:
			report(e)
		}
	}
}

func (r *rack) Close() error { r.closed++; return nil }

func t4(n string) gpu.Hardware {
	return gpu.Hardware{UUID: "GPU-" + n, Device: "cuda:" + n, Name: "Tesla T4", TotalBytes: 15 << 30}
}

func (r *rack) probers() probers {
	p := newProbers()
	p.gpus = func(context.Context) (gpu.Prober, error) { return r, nil }
	p.provider = func() error { return nil }
	p.listen = func() { r.heard++ }
	return p
}

func notLeftOut(string) string { return "" }

func TestModelsRunOnGPUsOfOneKind(t *testing.T) {
	hidden, other := t4("9"), t4("2")
	hidden.Device, other.Name = "", "NVIDIA A100"
	r := &rack{gpus: []gpu.Hardware{hidden, t4("0"), t4("1"), other}}
	h, err := openHardware(t.Context(), deviceConfig{Kind: devicesAuto}, r.probers(), notLeftOut)
	if err != nil {
		t.Fatal(err)
	}
	if h.class != "cuda Tesla T4" || len(h.devices) != 2 || h.devices[1].Name != "cuda:1" || h.devices[0].MemoryBytes != 15<<30 ||
		h.devices[0].ReserveBytes != 15<<30/reserveShare || !strings.HasSuffix(h.runtime.Build(), "+cuda") {
		t.Errorf("%+v", h)
	}
	if len(h.notes) != 2 || !strings.Contains(h.notes[0], "CUDA does not show it") || !strings.Contains(h.notes[1], "it is no Tesla T4") {
		t.Errorf("notes %q", h.notes)
	}
	if reading, err := h.devices[1].Read(t.Context()); err != nil || reading.OwnBytes != 1<<29 {
		t.Errorf("%+v, %v", reading, err)
	}
	if err := h.close(); err != nil || r.closed != 1 || r.heard != 1 {
		t.Errorf("%v, closed %d times, signals listened to %d times after CUDA", err, r.closed, r.heard)
	}
	h, err = openHardware(t.Context(), deviceConfig{Kind: devicesCUDA, GPUs: []string{"GPU-2"}, MemoryBytes: 4 << 30}, r.probers(), notLeftOut)
	if err != nil || h.class != "cuda NVIDIA A100" || len(h.devices) != 1 || h.devices[0].MemoryBytes != 4<<30 || h.devices[0].SpareBytes != 11<<30 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestWithoutAGPUThatServesTheCPUDoes(t *testing.T) {
	r := &rack{gpus: []gpu.Hardware{t4("0"), t4("1")}}
	noProvider := r.probers()
	noProvider.provider = func() error { return errors.New("built without CUDA") }
	noDriver := newProbers()
	noDriver.gpus = func(context.Context) (gpu.Prober, error) { return nil, gpu.ErrNoDriver }
	bad := func(string) string { return "it was lost again and again" }
	for name, c := range map[string]struct {
		open    probers
		leftOut func(string) string
		note    string
	}{
		"no driver":    {noDriver, notLeftOut, "no NVIDIA driver"},
		"no provider":  {noProvider, notLeftOut, "built without CUDA"},
		"all left out": {r.probers(), bad, "it was lost again and again"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := openHardware(t.Context(), deviceConfig{Kind: devicesAuto}, c.open, c.leftOut)
			if err != nil {
				t.Fatal(err)
			}
			if h.class != "cpu" || len(h.devices) != 1 || h.devices[0].MemoryBytes == 0 || len(h.notes) != 1 || !strings.Contains(h.notes[0], c.note) {
				t.Errorf("%+v", h)
			}
			reading, err := h.devices[0].Read(t.Context())
			if err != nil || reading.UsedBytes == 0 || reading.OwnBytes != 0 {
				t.Errorf("%+v, %v", reading, err)
			}
			if err := h.close(); err != nil {
				t.Error(err)
			}
			if _, err := openHardware(t.Context(), deviceConfig{Kind: devicesCUDA}, c.open, c.leftOut); exitCode(t.Context(), err) != exitMissingPart || !strings.Contains(err.Error(), c.note) {
				t.Errorf("asked for GPUs: %v", err)
			}
		})
	}
	h, err := openHardware(t.Context(), deviceConfig{Kind: devicesCPU, MemoryBytes: 1 << 30}, noDriver, notLeftOut)
	if err != nil || len(h.notes) != 0 || h.devices[0].MemoryBytes != 1<<30 || h.devices[0].Read != nil {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestOneOfTwoThatIsLeftOutLeavesTheOther(t *testing.T) {
	r := &rack{gpus: []gpu.Hardware{t4("0"), t4("1")}}
	h, err := openHardware(t.Context(), deviceConfig{Kind: devicesCUDA}, r.probers(), func(uuid string) string {
		if uuid == "GPU-0" {
			return "it was lost again and again"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	var log bytes.Buffer
	s := gpu.New(gpu.Options{Runtime: h.runtime, Devices: h.devices, Registerer: reg, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if d := s.Devices(); !d[0].Out || d[1].Out || !strings.Contains(log.String(), "it is left out") {
		t.Errorf("%+v\n%s", d, log.String())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAFaultOfTheGPUEndsTheProcessAndIsNoted also looks at what is no fault of
// the GPU.
func TestAFaultOfTheGPUEndsTheProcessAndIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rack{gpus: []gpu.Hardware{t4("0"), t4("1")}, events: make(chan gpu.Event)}
		h := &hardware{prober: r, uuids: map[string]string{"cuda:0": "GPU-0", "cuda:1": "GPU-1"}}
		path := filepath.Join(t.TempDir(), "lost-devices.json")
		for range 3 {
			losses, err := gpu.OpenLosses(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, out := losses.LeftOut("GPU-1", time.Now()); out {
				t.Fatal("left out too early")
			}
			s := gpu.New(gpu.Options{Devices: []gpu.Device{{Name: "cuda:0"}, {Name: "cuda:1"}}})
			g := startGuard(h, s, losses, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			r.events <- gpu.Event{UUID: "GPU-1", Fault: gpu.FaultXid, Code: 31}     // an application's own
			r.events <- gpu.Event{UUID: "GPU-other", Fault: gpu.FaultXid, Code: 79} // not ours
			synctest.Wait()
			if _, err := s.Lost(); err != nil {
				t.Fatalf("lost for nothing: %v", err)
			}
			r.events <- gpu.Event{UUID: "GPU-1", Fault: gpu.FaultXid, Code: 79}
			synctest.Wait()
			if device, err := s.Lost(); device != "cuda:1" || !errors.Is(err, models.ErrDeviceLost) || exitCode(t.Context(), err) != exitLostDevice {
				t.Fatalf("%s: %v", device, err)
			}
			if err := errors.Join(s.Close(t.Context()), g.close(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		losses, err := gpu.OpenLosses(path)
		if err != nil {
			t.Fatal(err)
		}
		_, reason, out := losses.LeftOut("GPU-1", time.Now())
		if _, _, healthy := losses.LeftOut("GPU-0", time.Now()); !out || healthy || !strings.Contains(reason, "79") {
			t.Errorf("left out: GPU-1 %v (%s), GPU-0 %v", out, reason, healthy)
		}
	})
}

func TestADriverThatDoesNotWatchIsAskedAgainOrLeft(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"for now":  {errors.New("NVML: unknown error"), "the driver does not tell of faults"},
		"for ever": {gpu.ErrUnsupported, "the driver tells of no faults"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				r := &rack{watch: c.err}
				s := gpu.New(gpu.Options{})
				losses, _ := gpu.OpenLosses(filepath.Join(t.TempDir(), "l.json"))
				g := startGuard(&hardware{prober: r}, s, losses, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
				synctest.Wait()
				if err := errors.Join(s.Close(t.Context()), g.close(t.Context())); err != nil {
					t.Error(err)
				}
				if !strings.Contains(log.String(), c.says) {
					t.Errorf("%q is missing in %s", c.says, log.String())
				}
			})
		})
	}
}
