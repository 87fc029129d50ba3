package main

import (
	"context"
	"runtime"

	cpu "github.com/earshot-fm/earshot/gpu/host"
)

// What an episode under way takes beside the models: its tape is on disk, the
// rest are windows, encoders and what decoders hold (docs/benchmarks.md).
const (
	memoryPerEpisode = 256 << 20
	memoryOfProgram  = 1 << 30
)

// fillSlots chooses the slots that the configuration leaves open: as many as
// the memory of this machine or cgroup holds, with those of the backlog beside
// them, and no more than keep the cores busy.
func (c *config) fillSlots(ctx context.Context, open probers) {
	if c.Worker.Slots > 0 {
		return
	}
	c.Worker.Slots = slotsFor(memoryHere(ctx, open), runtime.NumCPU())
}

func slotsFor(memory int64, cores int) int {
	busy := max(4, 2*cores)
	if memory == 0 { // nobody knows
		return busy
	}
	const perSlot = memoryPerEpisode * 3 / 2 // a slot and half a one of the backlog
	return int(min(max(1, (memory-memoryOfProgram)/perSlot), int64(busy)))
}

func (c *config) backlogSlots() int {
	if c.Worker.BacklogSlots > 0 {
		return c.Worker.BacklogSlots
	}
	return max(1, c.Worker.Slots/2)
}

// memoryHere is the memory of the cgroup or the machine, 0 where nobody knows.
func memoryHere(ctx context.Context, open probers) int64 {
	p, err := open.cpu(ctx)
	if err != nil {
		return 0
	}
	defer p.Close() // it holds nothing that could be lost
	found, err := p.Devices(ctx)
	if err != nil || len(found) == 0 || found[0].UUID != cpu.UUID {
		return 0
	}
	return found[0].TotalBytes
}
