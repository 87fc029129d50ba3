package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
	"github.com/earshot-fm/earshot/models/pack"
)

// measureCommand is the hidden subcommand that measureModel runs this program
// again with: models share an arena, so that what one of them needs shows only
// in a process that ran no other.
const measureCommand = "measure-model"

// measuring says how a model is measured.
type measuring struct {
	device      string // "cpu", "cuda:0"
	rounds      int    // timed runs of each size; 0: as gpu.Measure has it
	memoryBytes int64  // sizes that would take more are left out; 0: no bound
}

// measureModel measures what a model needs of a device, in a process of its own.
// A process that dies or outlasts ctx is an error; one that finds the device
// lost gives models.ErrDeviceLost.
func measureModel(ctx context.Context, m *models.Model, how measuring) (gpu.Profile, error) {
	p, err := runMeasure(ctx, m, how)
	if err != nil {
		return p, fmt.Errorf("measure %s on %s: %w", m.Manifest.Ref(), how.device, err)
	}
	return p, nil
}

// lingering is how long a killed process may hold on to its output.
const lingering = 5 * time.Second

func runMeasure(ctx context.Context, m *models.Model, how measuring) (p gpu.Profile, err error) {
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	args := []string{measureCommand, m.Manifest.Ref(), "--device", how.device, "--rounds", strconv.Itoa(how.rounds), "--memory", strconv.FormatInt(how.memoryBytes, 10)}
	if dir, ok := m.Folder(); ok {
		args = append(args, "--folder", dir)
	}
	child := exec.CommandContext(ctx, self, args...)
	child.WaitDelay = lingering
	var out, said bytes.Buffer
	child.Stdout, child.Stderr = &out, &said
	// The child is not to outlive a parent that is killed. The kernel watches the
	// thread that started it (prctl(2), PR_SET_PDEATHSIG).
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = child.Run()
	if ctx.Err() != nil {
		return p, fmt.Errorf("stopped before it was done: %w", context.Cause(ctx))
	}
	if err != nil {
		return p, died(err, strings.TrimPrefix(strings.TrimSpace(said.String()), "earshot: "))
	}
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		return p, fmt.Errorf("the measuring process gave no profile: %w", err)
	}
	if p.SHA256 != m.SHA256 {
		return p, errors.New("the model's files have changed since it was loaded: start again")
	}
	return p, nil
}

// died says why a measuring process ended without a profile.
func died(err error, said string) error {
	ended, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if s, ok := ended.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		why := ""
		if s.Signal() == syscall.SIGKILL {
			why = ", as the kernel does when memory runs out: give it more, or set a smaller batch.max_items in model.yaml"
		}
		return fmt.Errorf("the measuring process was ended by a signal (%v)%s", s.Signal(), why)
	}
	reason := errors.New(cmp.Or(said, err.Error()))
	switch ended.ExitCode() {
	case exitLostDevice:
		return fmt.Errorf("%w: %w", models.ErrDeviceLost, reason)
	case exitMissingPart, exitUsage:
		return exit(ended.ExitCode(), reason)
	}
	return reason
}

func newMeasure(a *app) *cobra.Command {
	var how measuring
	folder := ""
	c := &cobra.Command{
		Use:    measureCommand + " MODEL",
		Short:  "Measure what one model needs of a device, alone in this process",
		Hidden: true,
		Args:   args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, refs []string) error {
			source := pack.Files()
			if folder != "" {
				source = models.Dir(folder)
			}
			catalog, err := models.LoadCatalog(source)
			if err != nil {
				return err
			}
			m, err := catalog.Get(refs[0])
			if err != nil {
				return exit(exitUsage, err)
			}
			p, err := measureHere(cmd.Context(), m, how)
			if err != nil {
				return err
			}
			return a.json(p)
		},
	}
	c.Flags().StringVar(&how.device, "device", "cpu", "cpu, or cuda:N")
	c.Flags().IntVar(&how.rounds, "rounds", 0, "timed runs of each size")
	c.Flags().Int64Var(&how.memoryBytes, "memory", 0, "sizes that would take more bytes are left out; 0: no bound")
	c.Flags().StringVar(&folder, "folder", "", "the model's folder; without it the model is a built-in one")
	return c
}

// measureHere measures a model in this process, which runs no other.
func measureHere(ctx context.Context, m *models.Model, how measuring) (_ gpu.Profile, err error) {
	onGPU := how.device != "cpu"
	r, err := ort.New(ort.Options{CUDA: onGPU})
	if err != nil {
		return gpu.Profile{}, exit(exitMissingPart, err)
	}
	open := newProbers()
	driver := open.cpu
	if onGPU {
		driver = open.gpus
	}
	prober, err := driver(ctx)
	if err != nil {
		return gpu.Profile{}, exit(exitMissingPart, err)
	}
	defer func() { err = errors.Join(err, prober.Close()) }()
	hardware, err := hardwareOf(ctx, prober, how.device)
	if err != nil {
		return gpu.Profile{}, err
	}
	o := gpu.MeasureOptions{Runtime: r, Device: how.device, Name: hardware.Name, Meter: gpu.ResidentMeter{Trim: ort.Trim}, Rounds: how.rounds, MemoryBytes: how.memoryBytes}
	if onGPU {
		o.Meter = gpu.DriverMeter{Prober: prober, UUID: hardware.UUID}
	}
	return gpu.Measure(ctx, m, o, func(ctx context.Context) ([]gpu.Workload, error) { return workloads(ctx, m, how.device) })
}

// workloads takes a model through its tasks, and leaves nothing of that in the
// arena that gpu.Measure will use.
func workloads(ctx context.Context, m *models.Model, device string) (work []gpu.Workload, err error) {
	r, err := ort.New(ort.Options{CUDA: device != "cpu", OwnArenas: true})
	if err != nil {
		return nil, exit(exitMissingPart, err)
	}
	sessions := models.Sessions{}
	defer func() { err = errors.Join(err, closeSessions(sessions)) }()
	for _, name := range m.Manifest.Sessions {
		if sessions[name], err = m.Open(ctx, r, name, device); err != nil {
			delete(sessions, name)
			return nil, err
		}
	}
	for _, task := range tasksOf(m) {
		r, _, err := takeThrough(ctx, m, task, sessions)
		if err != nil {
			return nil, err
		}
		w, err := r.kept.workload()
		if err != nil {
			return nil, err
		}
		work = append(work, w)
	}
	return work, nil
}

// hardwareOf finds what a driver knows of a device.
func hardwareOf(ctx context.Context, p gpu.Prober, device string) (gpu.Hardware, error) {
	all, err := p.Devices(ctx)
	if err != nil {
		return gpu.Hardware{}, err
	}
	i := slices.IndexFunc(all, func(h gpu.Hardware) bool { return h.Device == device })
	if i < 0 {
		return gpu.Hardware{}, exit(exitUsage, fmt.Errorf("no device %q: see `earshot devices`", device))
	}
	return all[i], nil
}
