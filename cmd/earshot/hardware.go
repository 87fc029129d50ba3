package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/gpu"
	cpu "github.com/earshot-fm/earshot/gpu/host" // "host" is a type of this package
	"github.com/earshot-fm/earshot/gpu/nvml"
	"github.com/earshot-fm/earshot/models/ort"
)

// The kinds of device that a configuration or --devices can ask for.
const (
	devicesAuto = "auto" // the GPUs, where they serve; else the CPU
	devicesCPU  = "cpu"
	devicesCUDA = "cuda"
)

func knownDevices(kind string) bool {
	return slices.Contains([]string{devicesAuto, devicesCPU, devicesCUDA}, kind)
}

// devicesFlag gives a command --devices.
func (a *app) devicesFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.devicesKind, "devices", "", "what models run on: cpu; cuda: no GPU that serves is an error; auto: GPUs if they serve (default: device.kind of the configuration)")
}

// hardware is what the models of a pipeline run on.
type hardware struct {
	class   string       // the kind of device, in every key: "cpu", "cuda Tesla T4"
	devices []gpu.Device // alike
	runtime *ort.Runtime
	prober  gpu.Prober        // nil: nobody knows
	uuids   map[string]string // by the device's name: "cuda:0"
	notes   []string          // what serves not, and why
}

func (h *hardware) close() error {
	if h.prober == nil {
		return nil
	}
	return h.prober.Close()
}

// probers open the drivers; tests have their own.
type probers struct {
	cpu, gpus func(context.Context) (gpu.Prober, error)
	provider  func() error // tells why onnxruntime cannot use a GPU
	listen    func()       // to signals, again
}

func newProbers() probers {
	return probers{
		cpu:      func(ctx context.Context) (gpu.Prober, error) { return cpu.Open(ctx, cpu.Options{}) },
		gpus:     func(ctx context.Context) (gpu.Prober, error) { return nvml.Open(ctx, nvml.Options{}) },
		provider: cudaProvider,
		listen:   listen,
	}
}

// openHardware finds the devices that a configuration asks for. Those of
// leftOut were lost too often.
func openHardware(ctx context.Context, c deviceConfig, open probers, leftOut func(uuid string) string) (*hardware, error) {
	h, err := openGPUs(ctx, c, open, leftOut)
	switch {
	case h != nil:
		open.listen()
		h.runtime, err = ort.New(ort.Options{CUDA: true})
	case c.Kind == devicesCUDA:
		return nil, exit(exitMissingPart, err)
	default:
		h = openCPU(ctx, c, open)
		if c.Kind == devicesAuto && err != nil {
			h.notes = append(h.notes, err.Error())
		}
		h.runtime, err = ort.New(ort.Options{})
	}
	if err != nil {
		return nil, errors.Join(exit(exitMissingPart, err), h.close())
	}
	return h, nil
}

// reserveShare is the share of a device's memory that models are not given: for
// what no account foresees.
const reserveShare = 20

func (c deviceConfig) reserve(total int64) int64 {
	if c.ReserveBytes > 0 {
		return c.ReserveBytes
	}
	return min(total/reserveShare, 1<<30)
}

// openCPU is the CPU with the memory that its cgroup, or the machine, has for
// models beside all else; or with what the configuration gives them.
func openCPU(ctx context.Context, c deviceConfig, open probers) *hardware {
	h := &hardware{class: devicesCPU, uuids: map[string]string{"cpu": cpu.UUID}}
	d := gpu.Device{Name: "cpu", MemoryBytes: c.MemoryBytes, Leases: c.Leases}
	p, err := open.cpu(ctx)
	var found []gpu.Hardware
	if err == nil {
		h.prober = p
		found, err = p.Devices(ctx)
	}
	if err != nil || len(found) == 0 {
		h.notes = append(h.notes, fmt.Sprintf("the memory of this machine is not known, and not bounded by anything but device.memory_bytes: %v", err))
	} else {
		d.Kind = found[0].Name
		if c.MemoryBytes == 0 {
			d.MemoryBytes, d.ReserveBytes = found[0].TotalBytes, c.reserve(found[0].TotalBytes)
			d.Read = func(ctx context.Context) (gpu.Reading, error) {
				r, err := p.Read(ctx, cpu.UUID)
				r.OwnBytes = 0 // most of the process's own memory is no model's
				return r, err
			}
		}
	}
	h.devices = []gpu.Device{d}
	return h
}

// openGPUs are the GPUs of one kind that serve, or the reason why none does.
func openGPUs(ctx context.Context, c deviceConfig, open probers, leftOut func(uuid string) string) (h *hardware, err error) {
	if c.Kind == devicesCPU {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	p, err := open.gpus(ctx)
	if err != nil {
		return nil, fmt.Errorf("no GPU: %w", err)
	}
	defer func() {
		if err != nil {
			h, err = nil, errors.Join(err, p.Close())
		}
	}()
	found, err := p.Devices(ctx)
	if err != nil {
		return nil, fmt.Errorf("no GPU: %w", err)
	}
	if err := open.provider(); err != nil {
		return nil, fmt.Errorf("models do not run on GPUs: %w", err)
	}
	h = &hardware{prober: p, uuids: map[string]string{}}
	kind := ""
	for _, f := range found {
		switch {
		case f.Device == "":
			h.note(f, "CUDA does not show it")
		case len(c.GPUs) > 0 && !slices.Contains(c.GPUs, f.UUID):
			h.note(f, "device.gpus does not name it")
		case kind != "" && f.Name != kind:
			h.note(f, fmt.Sprintf("it is no %s: devices of one process are alike, so that its results are; choose by device.gpus", kind))
		default:
			kind = f.Name
			h.uuids[f.Device] = f.UUID
			d := gpu.Device{Name: f.Device, Kind: f.Name, MemoryBytes: f.TotalBytes, ReserveBytes: c.reserve(f.TotalBytes), Leases: c.Leases, LeftOut: leftOut(f.UUID)}
			if c.MemoryBytes > 0 {
				d.MemoryBytes, d.ReserveBytes = min(c.MemoryBytes, f.TotalBytes), 0
				d.SpareBytes = f.TotalBytes - d.MemoryBytes
			}
			d.Read = func(ctx context.Context) (gpu.Reading, error) { return p.Read(ctx, f.UUID) }
			h.devices = append(h.devices, d)
		}
	}
	if !slices.ContainsFunc(h.devices, func(d gpu.Device) bool { return d.LeftOut == "" }) {
		for _, d := range h.devices {
			h.notes = append(h.notes, d.Name+" is left out: "+d.LeftOut)
		}
		return nil, fmt.Errorf("no GPU serves: %s", strings.Join(h.notes, "; "))
	}
	h.class = devicesCUDA + " " + kind
	return h, nil
}

func (h *hardware) note(f gpu.Hardware, why string) {
	h.notes = append(h.notes, fmt.Sprintf("%s (%s, %s) is left out: %s", f.UUID, f.Name, f.PCI, why))
}

// profilesPath and lossesPath are below a state folder.
func profilesPath(state string) string { return filepath.Join(state, "profiles.json") }
func lossesPath(state string) string   { return filepath.Join(state, "lost-devices.json") }

// openProfiles reads what models were measured to need. A file that cannot be
// read is no reason not to start.
func openProfiles(state string, log *slog.Logger) *gpu.Profiles {
	p, err := gpu.OpenProfiles(profilesPath(state))
	if err != nil {
		log.Warn("what models need is not known, and is guessed", "error", err)
		p, _ = gpu.OpenProfiles("")
	}
	return p
}

// guard watches a pipeline's devices: a fault that poisons one ends all work on
// it, and every loss is noted for the next process.
type guard struct {
	hardware  *hardware
	scheduler *gpu.Scheduler
	losses    *gpu.Losses
	log       *slog.Logger
	events    *prometheus.CounterVec

	stop     context.CancelFunc
	watching sync.WaitGroup
}

// watchAgain is how long the guard waits after the driver failed to watch.
const watchAgain = 30 * time.Second

func startGuard(h *hardware, s *gpu.Scheduler, losses *gpu.Losses, log *slog.Logger, r prometheus.Registerer) *guard {
	g := &guard{hardware: h, scheduler: s, losses: losses, log: log}
	g.events = promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "earshot_device_events_total", Help: "Faults that the GPUs' driver reported: xid, ecc, lost.",
	}, []string{"device", "fault"})
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	if h.prober != nil {
		g.watching.Go(func() { g.watch(ctx) })
	}
	return g
}

func (g *guard) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := g.hardware.prober.Watch(ctx, g.event)
		switch {
		case err == nil || ctx.Err() != nil || errors.Is(err, gpu.ErrLost):
			return
		case errors.Is(err, gpu.ErrUnsupported):
			g.log.Info("the driver tells of no faults; a GPU that is lost is still noticed", "reason", err)
			return
		}
		g.log.Warn("the driver does not tell of faults", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

func (g *guard) event(e gpu.Event) {
	device := "-"
	for name, uuid := range g.hardware.uuids {
		if uuid == e.UUID {
			device = name
		}
	}
	g.events.WithLabelValues(device, string(e.Fault)).Inc()
	g.log.Warn("a GPU's driver reports a fault", "device", device, "uuid", e.UUID, "fault", e.Fault, "code", e.Code)
	if device != "-" && e.Fatal() {
		g.scheduler.Lose(device, fmt.Errorf("%s %d: %w", e.Fault, e.Code, gpu.ErrLost))
	}
}

// close stops watching, and notes a device that was lost.
func (g *guard) close(context.Context) error {
	g.stop()
	g.watching.Wait()
	var err error
	if device, lost := g.scheduler.Lost(); lost != nil {
		err = g.losses.Add(g.hardware.uuids[device], time.Now(), lost.Error())
	}
	return errors.Join(err, g.hardware.close())
}
