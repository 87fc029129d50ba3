package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
)

// benchSchema is the version of models bench's JSON.
const benchSchema = "earshot.models-bench/1"

// benched is models bench's JSON.
type benched struct {
	Schema      string            `json:"schema"`
	Runs        []benchedRun      `json:"runs"`
	Recommended []recommendation  `json:"recommended"`
	Notes       []string          `json:"notes"` // what does not hold, and what could not be measured
	names       map[string]string // of devices
}

// benchedRun is one size of batch of a model on a device.
type benchedRun struct {
	Device     string  `json:"device"` // "cpu", "cuda:0"
	Model      string  `json:"model"`
	Precision  string  `json:"precision"`
	Items      int     `json:"items"`
	Cost       float64 `json:"cost"`       // of all items, in the model's unit
	Throughput float64 `json:"throughput"` // in Unit
	Unit       string  `json:"unit"`       // "audio hours/h", or "items/s"
	Median     float64 `json:"p50_seconds"`
	P99        float64 `json:"p99_seconds"`
	// The model's weights and what such a run takes: as the profile promises, and
	// as another process then measured. 0: the other one had no memory for it.
	Predicted int64 `json:"predicted_bytes"`
	Measured  int64 `json:"measured_bytes"`
	Holds     bool  `json:"holds"` // predicted is never below, and within 10 % or 2 MiB
	// Against the same model in fp32, of the first graph's outputs; absent: there is none.
	Error *deviation `json:"error,omitempty"`
}

// recommendation is what suits a device best, of one model.
type recommendation struct {
	Device     string `json:"device"`
	Model      string `json:"model"` // in the precision to pin
	Precision  string `json:"precision"`
	BatchItems int    `json:"batch_items"`
}

// A prediction holds when it is not below what was measured, and above it by no
// more than a share or, for small models, by an amount: allocators round up, and
// Go's own memory is known to a few hundred kilobytes.
const (
	predictionShare = 0.10
	predictionBytes = 2 << 20
)

func predictionHolds(predicted, measured int64) bool {
	over := predicted - measured
	return over >= 0 && (over <= predictionBytes || float64(over) <= predictionShare*float64(measured))
}

func newModelsBench(a *app) *cobra.Command {
	var devices []string
	rounds := 0
	c := &cobra.Command{
		Use:   "bench [MODEL…]",
		Short: "Measure models by batch size: speed, memory predicted and measured, error against fp32; recommend",
		Long: `Run models on fixed input in batches of 1, 2, 4, 8, … items of the costliest
shape that their task gave them, and print for each size the throughput (hours
of audio an hour for models that cost by the second, padding counted; else items
a second; on the CPU of one core, while all are at it), the median and 99th percentile of a run's time, and the memory of
weights and run.

Each model is measured twice, each time in a process of its own. The first gives
the profile, which is kept in the state folder for the next start; what it
predicts stands beside what the second measured. It should never be below that,
and above by no more than 10 % or, which is more for small models, 2 MiB.

For a model that there is in fp32 too, the error is how far the outputs of its
first graph are from those in fp32, for the same inputs: the mean absolute
difference in per cent of their root mean square. Recommended is the smallest
batch within 2 % of the best throughput, and the fastest precision whose error
is at most 2 %: what that costs in accuracy the task's own evaluation has to say.

Times are of this moment: on a machine that does other things too they are
longer.`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			if rounds < 0 {
				return exit(exitUsage, fmt.Errorf("--rounds %d: want 1 or more", rounds))
			}
			return a.benchModels(cmd.Context(), refs, devices, rounds)
		},
	}
	c.Flags().StringArrayVar(&devices, "device", nil, "cpu or cuda:N; may be repeated; without it the CPU and every GPU that serves")
	c.Flags().IntVar(&rounds, "rounds", 0, "runs of each size that are timed, at least (default 8)")
	a.modelsFlag(c)
	return c
}

func (a *app) benchModels(ctx context.Context, refs, devices []string, rounds int) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	chosen, err := a.chooseModels(refs)
	if err != nil {
		return err
	}
	chosen = inEachPrecision(chosen, refs)
	catalog, err := a.loadCatalog()
	if err != nil {
		return err
	}
	state, err := a.stateFolder()
	if err != nil {
		return err
	}
	kept, err := gpu.OpenProfiles(profilesPath(state))
	if err != nil {
		return err
	}
	b := benched{Schema: benchSchema, Runs: []benchedRun{}, Recommended: []recommendation{}, Notes: []string{}, names: map[string]string{}}
	for _, d := range devices {
		if err := checkDevice(d); err != nil {
			return err
		}
	}
	if len(devices) == 0 {
		devices = b.findDevices(ctx, a.probers)
	}
	runtime, err := ort.New(ort.Options{CUDA: slices.ContainsFunc(devices, func(d string) bool { return d != "cpu" })})
	if err != nil {
		return exit(exitMissingPart, err)
	}
	var failed []error // one model that cannot be measured does not keep the others from it
	for _, device := range devices {
		how := measuring{device: device, rounds: rounds, memoryBytes: a.processor(ctx, cfg.Device).FreeBytes}
		if device != "cpu" {
			how.memoryBytes = 0 // the device refuses what it has not
		}
		found := map[string][]candidate{}
		for _, m := range chosen {
			if a.format != "json" {
				fmt.Fprintf(a.err, "measuring %s on %s\n", m.Manifest.Ref(), device)
			}
			profile, err := b.measure(ctx, m, how)
			if ctx.Err() != nil || errors.Is(err, models.ErrDeviceLost) {
				return err
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
			if err := kept.Put(profile); err != nil {
				return err
			}
			d, err := deviationOf(ctx, runtime, catalog, m, device)
			if err != nil {
				failed = append(failed, err)
			}
			for i := range b.Runs {
				if r := &b.Runs[i]; r.Device == device && r.Model == profile.Model {
					r.Error = d
				}
			}
			name := fmt.Sprintf("%s@%d", m.Manifest.Name, m.Manifest.Version)
			found[name] = append(found[name], candidate{profile, d})
		}
		for _, m := range chosen {
			name := fmt.Sprintf("%s@%d", m.Manifest.Name, m.Manifest.Version)
			if list := found[name]; len(list) > 0 {
				b.Recommended = append(b.Recommended, recommend(device, list))
			}
			delete(found, name)
		}
	}
	if a.format == "json" {
		err = a.json(b)
	} else {
		err = a.printBench(&b)
	}
	return errors.Join(append(failed, err)...)
}

// checkDevice checks a device that a flag names.
func checkDevice(name string) error {
	index, isGPU := strings.CutPrefix(name, "cuda:")
	if _, err := strconv.ParseUint(index, 10, 16); name != "cpu" && (!isGPU || err != nil) {
		return exit(exitUsage, fmt.Errorf("--device %q: want cpu or cuda:N, as `earshot devices` lists them", name))
	}
	return nil
}

// findDevices are the CPU and the GPUs that serve.
func (b *benched) findDevices(ctx context.Context, open probers) []string {
	devices := []string{"cpu"}
	gpus, err := probe(ctx, open.gpus)
	if err == nil && len(gpus) > 0 {
		err = open.provider()
	}
	if err != nil {
		b.Notes = append(b.Notes, fmt.Sprintf("on no GPU: %v", err))
		return devices
	}
	for _, g := range gpus {
		if g.Device != "" {
			devices = append(devices, g.Device)
		}
	}
	return devices
}

// measure measures a model twice, and lists what the first measure predicts
// beside what the second saw. The profile has both, and of the times the quicker.
func (b *benched) measure(ctx context.Context, m *models.Model, how measuring) (gpu.Profile, error) {
	first, err := measureModel(ctx, m, how)
	if err != nil {
		return first, err
	}
	second, err := measureModel(ctx, m, how)
	if err != nil {
		return first, err
	}
	b.names[how.device] = first.Device
	both := first
	both.Include(&second)
	for _, pt := range both.Points {
		if pt.Median <= 0 {
			continue // of another of the model's tasks: its memory alone
		}
		r := benchedRun{
			Device: how.device, Model: first.Model, Precision: first.Precision,
			Items: pt.Items, Cost: pt.Cost, Median: pt.Median, P99: pt.P99,
			Throughput: float64(pt.Items) / pt.Median, Unit: "items/s",
			Predicted: first.WeightsBytes + first.Need(pt.Items, pt.Cost),
		}
		if costsSeconds(m) {
			r.Throughput, r.Unit = pt.Cost/pt.Median, "audio hours/h"
		}
		i := slices.IndexFunc(second.Points, func(o gpu.Point) bool { return o.Items == pt.Items && o.Cost == pt.Cost })
		if i >= 0 {
			r.Measured = second.WeightsBytes + second.Points[i].Bytes
			r.Holds = predictionHolds(r.Predicted, r.Measured)
		}
		if !r.Holds {
			b.Notes = append(b.Notes, fmt.Sprintf("%s on %s, %d items: %s predicted, %s measured", r.Model, r.Device, r.Items, mib(r.Predicted), mib(r.Measured)))
		}
		b.Runs = append(b.Runs, r)
	}
	return both, nil
}

// costsSeconds tells whether a model's unit of cost is a second of audio.
func costsSeconds(m *models.Model) bool {
	return slices.Contains([]string{"speech", "language", "transcript", "speakers", "sound-events"}, m.Manifest.Task)
}

// candidate is a model in one precision, measured.
type candidate struct {
	profile gpu.Profile
	error   *deviation // nil: nothing to compare with
}

// smallError is the mean error, as a share of the outputs' root mean square, up
// to which another precision may stand in for fp32: earshot-sound in int8 is 1.2 %
// off, and that costs .004 of its F1 (its card).
const smallError = 0.02

// recommend chooses among a model's precisions: the fastest, each at its best
// batch, whose error is small. One that was not compared is itself the measure.
func recommend(device string, list []candidate) recommendation {
	fastest := func(c candidate) float64 {
		best := c.profile.Best()
		for _, pt := range c.profile.Points {
			if pt.Items == best.Items && pt.Median > 0 {
				return float64(pt.Items) / pt.Median
			}
		}
		return 0
	}
	good := slices.DeleteFunc(slices.Clone(list), func(c candidate) bool { return c.error != nil && c.error.relative() > smallError })
	if len(good) == 0 {
		good = list[:1] // those alone were asked for: the first, and its error is told
	}
	best := slices.MaxFunc(good, func(x, y candidate) int { return cmp.Compare(fastest(x), fastest(y)) })
	return recommendation{device, best.profile.Model, best.profile.Precision, best.profile.Best().Items}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func (a *app) printBench(b *benched) error {
	best := map[[2]string]int{}
	for _, r := range b.Recommended {
		best[[2]string{r.Device, r.Model}] = r.BatchItems
	}
	device, model := "", ""
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range b.Runs {
		if r.Device != device {
			device, model = r.Device, ""
			fmt.Fprintf(t, "%s: %s\n", device, b.names[device])
			fmt.Fprintln(t, "MODEL\tPREC.\tITEMS\tTHROUGHPUT\tP50\tP99\tPREDICTED\tMEASURED\tERROR")
		}
		name, precision := r.Model, r.Precision
		if name == model {
			name, precision = "", ""
		}
		model = r.Model
		items := fmt.Sprint(r.Items)
		if best[[2]string{r.Device, r.Model}] == r.Items {
			items += " *"
		}
		measured := "-"
		if r.Measured > 0 {
			measured = mib(r.Measured)
			if !r.Holds {
				measured += " !"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, precision, items, r.speed(), short(r.Median), short(r.P99), mib(r.Predicted), measured, r.Error.told())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range b.Recommended {
		fmt.Fprintf(a.out, "recommended on %s: %s (%s) in batches of %d (*)\n", r.Device, r.Model, r.Precision, r.BatchItems)
	}
	for _, n := range b.Notes {
		fmt.Fprintln(a.out, n)
	}
	return nil
}

func (r *benchedRun) speed() string {
	if r.Unit == "items/s" {
		return fmt.Sprintf("%.4g/s", r.Throughput)
	}
	return fmt.Sprintf("%.0f h/h", r.Throughput)
}

// short is a time of three digits.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d <= 0 {
		return "-"
	}
	step := time.Duration(math.Pow10(max(0, int(math.Log10(float64(d)))-2)))
	return d.Round(step).String()
}
