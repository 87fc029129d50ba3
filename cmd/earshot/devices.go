package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models/ort"
)

// probePatience is how long a driver may take to answer.
const probePatience = 10 * time.Second

// shownDevice is an element of devices' JSON. Bytes that are not known are
// left out.
type shownDevice struct {
	Device     string      `json:"device"` // as models are opened on it: "cpu", "cuda:0"; empty: CUDA does not show it
	Name       string      `json:"name"`
	UUID       string      `json:"uuid,omitempty"`
	PCI        string      `json:"pci,omitempty"`
	Driver     string      `json:"driver,omitempty"`
	Capability string      `json:"compute_capability,omitempty"`
	Cores      int         `json:"cores,omitempty"`
	TotalBytes int64       `json:"total_bytes"` // the CPU's: what the cgroup allows, else what the machine has
	FreeBytes  int64       `json:"free_bytes"`
	Limit      string      `json:"limit,omitempty"` // of the CPU's memory: "cgroup", "machine" or "configuration"
	Others     []shownUser `json:"others,omitempty"`
	Busy       float64     `json:"busy,omitempty"`
	Celsius    int         `json:"celsius,omitempty"`
	Watts      float64     `json:"watts,omitempty"`
	Throttled  []string    `json:"throttled,omitempty"`
	Fault      string      `json:"fault,omitempty"` // why it cannot be read
}

type shownUser struct {
	PID   int   `json:"pid"`
	Bytes int64 `json:"bytes"`
}

// shownDevices is devices' JSON.
type shownDevices struct {
	Devices []shownDevice `json:"devices"`
	Notes   []string      `json:"notes"`   // why there are no GPUs, or why they do not serve
	Workers []shownWorker `json:"workers"` // that run now with this state folder
}

func newDevices(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "devices",
		Short: "List what models can run on: memory, other users, heat and power",
		Long: `List what models can run on: the CPU and, where NVIDIA's driver is, the GPUs, with
their memory, the other processes there that the driver names, heat, power and
the reasons why clocks are held down; and, of each worker ('earshot stream') that
runs with this state folder, the models that are open and the ledger of the
device's memory.

Without a driver, or with an onnxruntime that has no CUDA provider, a line says
so, and the exit code is 0; with --devices cuda it is an error.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return a.devices(cmd.Context(), cfg.Device)
		},
	}
	a.devicesFlag(c)
	return c
}

// cudaProvider tells why onnxruntime cannot use a GPU; nil: it can.
func cudaProvider() error {
	r, err := ort.New(ort.Options{CUDA: true})
	if err != nil {
		return err
	}
	return r.CheckCUDA()
}

func (a *app) devices(ctx context.Context, c deviceConfig) error {
	state, err := a.stateFolder()
	if err != nil {
		return err
	}
	all := shownDevices{Devices: []shownDevice{a.processor(ctx, c)}, Notes: []string{}, Workers: askWorkers(ctx, state)}
	var missing error
	if c.Kind != devicesCPU {
		gpus, err := probe(ctx, a.probers.gpus)
		all.Devices = append(all.Devices, gpus...)
		switch {
		case err != nil && len(gpus) > 0:
			missing = fmt.Errorf("the GPUs' driver: %w", err)
		case err != nil:
			missing = fmt.Errorf("no GPU: %w", err)
		case len(gpus) == 0:
			missing = errors.New("no GPU: the driver shows none")
		default:
			if err := a.probers.provider(); err != nil {
				missing = fmt.Errorf("models do not run on the GPUs: %w", err)
			}
		}
	}
	if missing != nil {
		if c.Kind == devicesCUDA {
			return exit(exitMissingPart, missing)
		}
		all.Notes = append(all.Notes, missing.Error())
	}
	if a.format == "json" {
		return a.json(all)
	}
	return a.printDevices(all)
}

func (a *app) printDevices(all shownDevices) error {
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tNAME\tMEMORY\tFREE\tOTHERS\tSTATE")
	for _, d := range all.Devices {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(d.Device, "-"), d.Name, gib(d.TotalBytes), gib(d.FreeBytes), d.users(), d.state())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range all.Devices {
		if d.UUID != "" {
			fmt.Fprintf(a.out, "%s: %s, PCI %s, driver %s, compute capability %s\n", cmp.Or(d.Device, "-"), d.UUID, cmp.Or(d.PCI, "-"), d.Driver, cmp.Or(d.Capability, "-"))
		}
	}
	for _, note := range all.Notes {
		fmt.Fprintln(a.out, note)
	}
	for _, w := range all.Workers {
		if err := w.print(a.out); err != nil {
			return err
		}
	}
	return nil
}

// print writes a worker's models and accounts.
func (w shownWorker) print(out io.Writer) error {
	for _, d := range w.Devices {
		l := d.Ledger
		state := ""
		if d.LeftOut {
			state = ", left out"
		}
		fmt.Fprintf(out, "\nworker %d on %s%s: %s weights + %s arenas (%s in use) + %s of others + %s reserve of %s: %s left; %s in use as the device says\n",
			w.PID, d.Device, state, mib(l.Weights), mib(l.Arenas), mib(l.InUse), mib(l.Foreign), mib(l.Reserve), mib(l.Total), mib(l.Left), mib(l.Used))
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, r := range d.Residents {
			how := "guessed"
			if r.Measured {
				how = "measured"
			}
			fmt.Fprintf(t, "  %s\t%s weights\t%s arena\t%d runs\t%s\n", r.Model, mib(r.Weights), mib(r.Arena), r.Runs, how)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func (d *shownDevice) users() string {
	if d.UUID == "" {
		return "-"
	}
	bytes := int64(0)
	for _, u := range d.Others {
		bytes += u.Bytes
	}
	return fmt.Sprintf("%d (%s)", len(d.Others), gib(bytes))
}

func (d *shownDevice) state() string {
	switch {
	case d.Fault != "":
		return d.Fault
	case d.UUID == "":
		return fmt.Sprintf("%d cores, memory as the %s allows", d.Cores, d.Limit)
	}
	s := fmt.Sprintf("%.0f %% busy, %d °C, %.0f W", 100*d.Busy, d.Celsius, d.Watts)
	if len(d.Throttled) > 0 {
		s += ", slowed: " + strings.Join(d.Throttled, ", ")
	}
	return s
}

// processor is the CPU as a device.
func (a *app) processor(ctx context.Context, c deviceConfig) shownDevice {
	d := shownDevice{Name: runtime.GOARCH, Limit: "machine"}
	found, err := probe(ctx, a.probers.cpu)
	if err != nil {
		d.Fault = err.Error()
	} else {
		d = found[0]
	}
	d.Device, d.UUID, d.Busy, d.Cores = "cpu", "", 0, runtime.GOMAXPROCS(0) // it is busy with this command
	if c.MemoryBytes > 0 && c.MemoryBytes < d.TotalBytes {
		d.TotalBytes, d.Limit = c.MemoryBytes, "configuration"
	}
	d.FreeBytes = min(d.FreeBytes, d.TotalBytes)
	return d
}

// probe asks the driver for its devices and how they are doing. One that cannot
// be read is listed with the reason.
func probe(ctx context.Context, open func(context.Context) (gpu.Prober, error)) (_ []shownDevice, err error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	p, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	found, err := p.Devices(ctx)
	if err != nil {
		return nil, err
	}
	var out []shownDevice
	for _, h := range found {
		d := shownDevice{Device: h.Device, Name: h.Name, UUID: h.UUID, PCI: h.PCI, Driver: h.Driver, Capability: h.Capability, TotalBytes: h.TotalBytes, Limit: h.Limit}
		r, err := p.Read(ctx, h.UUID)
		if err != nil {
			d.Fault = err.Error()
		}
		d.FreeBytes, d.Busy, d.Celsius, d.Watts, d.Throttled = r.FreeBytes, r.Busy, r.Celsius, r.Watts, r.Throttled
		for _, u := range r.Others {
			d.Others = append(d.Others, shownUser(u))
		}
		out = append(out, d)
	}
	return out, nil
}
