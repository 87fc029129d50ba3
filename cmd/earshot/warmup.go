package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// When models that have no profile are measured before work begins.
const (
	warmUpAuto   = "auto" // on GPUs; on the CPU where guesses on the safe side would not fit
	warmUpAlways = "always"
	warmUpNever  = "never"
)

// warmUp measures the models that a graph uses and no profile tells of, each in
// a process of its own. One that cannot be measured is guessed.
func (p *pipeline) warmUp(ctx context.Context, c config, catalog *models.Catalog, spec *dag.Spec, log *slog.Logger) error {
	serves := func(d gpu.Device) bool { return d.LeftOut == "" }
	i := slices.IndexFunc(p.hardware.devices, serves) // there is one, and the others are alike
	d := p.hardware.devices[i]
	var unknown []*models.Model
	guessed := int64(0)
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		m, err := catalog.Get(n.Model)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(unknown, func(other *models.Model) bool { return other.SHA256 == m.SHA256 }) {
			continue // two nodes use it
		}
		if known, ok := p.profiles.Get(gpu.KeyOf(m, d, p.hardware.runtime)); ok && known.Measured() {
			continue
		}
		unknown = append(unknown, m)
		g, err := gpu.Guess(m)
		if err != nil {
			return err
		}
		guessed += g.WeightsBytes + g.Need(m.Manifest.Batch.MaxItems, 0)
	}
	left := d.MemoryBytes - d.ReserveBytes
	if d.Read != nil {
		// A failure is told by who reads all the time.
		if r, err := d.Read(ctx); err == nil {
			left = min(left, r.FreeBytes-d.ReserveBytes)
		}
	}
	fits := d.Name == "cpu" && (d.MemoryBytes == 0 || guessed <= left)
	if c.Device.WarmUp == warmUpNever || c.Device.WarmUp == warmUpAuto && fits {
		return nil
	}
	how := measuring{device: d.Name}
	if d.MemoryBytes > 0 {
		// What work that goes on has is not the measure's, and 0 would be no bound.
		how.memoryBytes = max(1, min(left, p.scheduler.Devices()[i].Balance.Left))
	}
	for _, m := range unknown {
		began := time.Now()
		profile, err := measureModel(ctx, m, how)
		if err == nil {
			err = p.profiles.Put(profile)
		}
		switch {
		case ctx.Err() != nil || errors.Is(err, models.ErrDeviceLost):
			return err
		case err != nil:
			log.Warn("what a model needs is guessed", "model", m.Manifest.Ref(), "error", err)
		default:
			log.Info("measured a model", "model", profile.Model, "device", profile.Device, "weights_bytes", profile.WeightsBytes, "best_batch", profile.Best().Items, "took", time.Since(began))
		}
	}
	return nil
}
