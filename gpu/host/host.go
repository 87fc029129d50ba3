// Package host is the CPU as a device: a gpu.Prober over what Linux tells of
// the memory that this process may use, its cgroup's or the machine's. Models
// are put on the CPU by the same account as on a GPU.
package host

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/earshot-fm/earshot/gpu"
)

// UUID names the CPU for Read.
const UUID = "cpu"

// Options are what a Prober reads. The zero value is this machine.
type Options struct {
	Files fs.FS                  // with proc and sys; nil: the machine's
	Limit func() (uint64, error) // bytes that the cgroup allows; nil: asks memlimit
}

// Prober reads /proc and the cgroup's files. They answer at once: no method
// waits for them in vain.
type Prober struct {
	files   fs.FS
	limit   func() (uint64, error)
	cpu     gpu.Hardware
	closing chan struct{} // closed by Close
	close   func()

	mu   sync.Mutex
	last ticks
	busy float64 // between the last two readings that are some time apart
}

var _ gpu.Prober = (*Prober)(nil)

// Open finds how much memory there is.
func Open(ctx context.Context, o Options) (*Prober, error) {
	if o.Files == nil {
		o.Files = os.DirFS("/")
	}
	if o.Limit == nil {
		o.Limit = memlimit.FromCgroup
	}
	p := &Prober{files: o.Files, limit: o.Limit, closing: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closing) })
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	m, err := p.memory()
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	p.cpu = gpu.Hardware{UUID: UUID, Device: "cpu", Name: p.name(), TotalBytes: m.total, Limit: m.limit}
	p.last, _ = p.ticks()
	return p, nil
}

// usable tells whether a method may go on.
func (p *Prober) usable(ctx context.Context) error {
	select {
	case <-p.closing:
		return fmt.Errorf("host: %w", gpu.ErrProberClosed)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("host: %w (%w)", gpu.ErrNoAnswer, context.Cause(ctx))
	}
	return nil
}

// Devices gives the CPU. Its TotalBytes is as of Open; a Reading has what the
// cgroup allows by then.
func (p *Prober) Devices(ctx context.Context) ([]gpu.Hardware, error) {
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	return []gpu.Hardware{p.cpu}, nil
}

// Read tells of memory and load. FreeBytes is what can be had without swapping
// and without the OOM killer, UsedBytes the rest. OwnBytes is this process's
// resident memory without the pages of files, which are dropped when need be
// and count as free.
func (p *Prober) Read(ctx context.Context, uuid string) (gpu.Reading, error) {
	if err := p.usable(ctx); err != nil {
		return gpu.Reading{}, err
	}
	if uuid != UUID {
		return gpu.Reading{}, fmt.Errorf("host: %s: %w (there is only %q)", uuid, gpu.ErrUnknown, UUID)
	}
	m, err := p.memory()
	if err != nil {
		return gpu.Reading{}, fmt.Errorf("host: %w", err)
	}
	used := m.total - m.free
	return gpu.Reading{
		TotalBytes: m.total, UsedBytes: used, FreeBytes: m.free,
		OwnBytes: min(p.resident(), used),
		Busy:     p.load(),
	}, nil
}

// Watch waits for ctx to end: nothing befalls a CPU that a process lives to
// tell.
func (p *Prober) Watch(ctx context.Context, _ func(gpu.Event)) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.closing:
		return fmt.Errorf("host: %w", gpu.ErrProberClosed)
	}
}

// Close ends the Watches.
func (p *Prober) Close() error {
	p.close()
	return nil
}

// memory is what this process may use.
type memory struct {
	total, free int64
	limit       string // gpu.Hardware.Limit
}

func (p *Prober) memory() (memory, error) {
	b, err := fs.ReadFile(p.files, "proc/meminfo")
	if err != nil {
		return memory{}, fmt.Errorf("read the machine's memory: %w", err)
	}
	total, available := kilobytes(b, "MemTotal"), kilobytes(b, "MemAvailable")
	if total <= 0 {
		return memory{}, fmt.Errorf("read the machine's memory: /proc/meminfo has no MemTotal")
	}
	m := memory{total: total, free: available, limit: "machine"}
	if limit, err := p.limit(); err == nil && limit > 0 && limit < uint64(total) {
		m.total, m.limit = int64(limit), "cgroup"
		for _, g := range groups(p.files) {
			if left, ok := g.left(p.files); ok {
				m.free = min(m.free, left)
			}
		}
	}
	m.free = max(0, min(m.free, m.total))
	return m, nil
}

// resident is this process's memory, without the pages of files where the
// kernel tells them apart.
func (p *Prober) resident() int64 {
	b, err := fs.ReadFile(p.files, "proc/self/status")
	if err != nil {
		return 0
	}
	if own := kilobytes(b, "RssAnon") + kilobytes(b, "RssShmem"); own > 0 {
		return own
	}
	return kilobytes(b, "VmRSS")
}

// kilobytes finds the line "key: n kB" and gives n in bytes; 0: there is none.
func kilobytes(text []byte, key string) int64 {
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == key {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// ticks are the kernel's counts of the time of all processors.
type ticks struct{ idle, total uint64 }

func (p *Prober) ticks() (ticks, bool) {
	b, err := fs.ReadFile(p.files, "proc/stat")
	if err != nil {
		return ticks{}, false
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	if !s.Scan() {
		return ticks{}, false
	}
	// cpu user nice system idle iowait irq softirq steal; guest time, which
	// follows, is in user and nice already. Source: proc(5).
	f := strings.Fields(s.Text())
	if len(f) < 5 || f[0] != "cpu" {
		return ticks{}, false
	}
	var t ticks
	for i, field := range f[1:min(len(f), 9)] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return ticks{}, false
		}
		t.total += n
		if i == 3 || i == 4 {
			t.idle += n
		}
	}
	return t, true
}

// load is the share of the machine's time that was not idle since the reading
// before, [0, 1].
func (p *Prober) load() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, ok := p.ticks()
	if !ok {
		return 0
	}
	// The count of iowait may go back, as proc(5) says.
	if all := now.total - p.last.total; now.total > p.last.total {
		idle := now.idle - min(now.idle, p.last.idle)
		p.busy = 1 - float64(min(idle, all))/float64(all)
		p.last = now
	}
	return p.busy
}

// name is the processor's, or its architecture where the kernel tells none.
func (p *Prober) name() string {
	b, _ := fs.ReadFile(p.files, "proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
