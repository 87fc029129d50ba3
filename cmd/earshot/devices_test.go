package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/gpu"
)

// prober has two GPUs, of which one cannot be read.
type prober struct{ closed int }

func (p *prober) Devices(context.Context) ([]gpu.Hardware, error) {
	return []gpu.Hardware{
		{UUID: "GPU-1", Name: "Tesla T4", PCI: "00000000:00:1E.0", Driver: "580.65.06", Capability: "7.5", TotalBytes: 15 << 30, Device: "cuda:0"},
		{UUID: "GPU-2", Name: "Tesla T4", PCI: "00000000:00:1F.0", Driver: "580.65.06", TotalBytes: 15 << 30},
	}, nil
}

func (p *prober) Read(_ context.Context, uuid string) (gpu.Reading, error) {
	if uuid == "GPU-2" {
		return gpu.Reading{}, gpu.ErrLost
	}
	return gpu.Reading{
		UsedBytes: 3 << 30, FreeBytes: 12 << 30, TotalBytes: 15 << 30,
		Others: []gpu.Process{{PID: 7, Bytes: 2 << 30}}, Busy: .5, Celsius: 70, Watts: 65, Throttled: []string{"thermal"},
	}, nil
}

func (p *prober) Watch(context.Context, func(gpu.Event)) error { return gpu.ErrUnsupported }

func (p *prober) Close() error {
	p.closed++
	return nil
}

func TestDevices(t *testing.T) {
	noDriver := fmt.Errorf("start NVML: %w", gpu.ErrNoDriver)
	noProvider := errors.New("this onnxruntime has no CUDA provider")
	for name, c := range map[string]struct {
		want     string
		driver   error
		provider error
		code     int
		gpus     int
		says     []string
	}{
		"GPUs that serve":             {"auto", nil, nil, exitOK, 2, []string{"cuda:0", "50 % busy, 70 °C, 65 W, slowed: thermal", "1 (2.0 GiB)", "the GPU is lost", "driver 580.65.06, compute capability 7.5"}},
		"asked for, and they serve":   {"cuda", nil, nil, exitOK, 2, []string{"cuda:0"}},
		"no driver":                   {"auto", noDriver, nil, exitOK, 0, []string{"cpu", "no GPU: start NVML: no NVIDIA driver"}},
		"no driver, and asked for":    {"cuda", noDriver, nil, exitMissingPart, 0, nil},
		"no provider":                 {"auto", nil, noProvider, exitOK, 2, []string{"models do not run on the GPUs: this onnxruntime has no CUDA provider"}},
		"no provider, and asked for":  {"cuda", nil, noProvider, exitMissingPart, 0, nil},
		"the CPU alone, nobody asked": {"cpu", noDriver, noProvider, exitOK, 0, []string{"cpu"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &prober{}
			probers := newProbers()
			probers.gpus = func(context.Context) (gpu.Prober, error) { return p, c.driver }
			probers.provider = func() error { return c.provider }
			run := func(format string) error {
				out.Reset()
				a := &app{out: &out, format: format, state: t.TempDir(), probers: probers}
				return a.devices(t.Context(), deviceConfig{Kind: c.want, MemoryBytes: 1 << 30})
			}
			err := run("text")
			if e, ok := errors.AsType[*exitError](err); ok != (c.code != exitOK) || ok && e.code != c.code {
				t.Fatalf("%v, want exit code %d", err, c.code)
			}
			for _, says := range c.says {
				if !strings.Contains(out.String(), says) {
					t.Errorf("%q is missing in\n%s", says, out.String())
				}
			}
			if c.code != exitOK {
				return
			}
			if err := run("json"); err != nil {
				t.Fatal(err)
			}
			var all shownDevices
			if err := json.Unmarshal(out.Bytes(), &all); err != nil || len(all.Devices) != 1+c.gpus {
				t.Fatalf("%v in\n%s", err, out.String())
			}
			if cpu := all.Devices[0]; cpu.Device != "cpu" || cpu.TotalBytes != 1<<30 || cpu.Limit != "configuration" || cpu.Cores < 1 || cpu.UUID != "" {
				t.Errorf("the CPU: %+v", cpu)
			}
			if c.gpus > 0 && p.closed != 2 {
				t.Errorf("the driver was closed %d times in two runs", p.closed)
			}
		})
	}
}
