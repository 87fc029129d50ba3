package host

import (
	"errors"
	"maps"
	"testing"
	"testing/fstest"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/gpu/gputest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"this machine":   {},
		"within a limit": {Limit: func() (uint64, error) { return 64 << 20, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			gputest.Run(t, func(t *testing.T) gputest.Driver {
				p, err := Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				return gputest.Driver{Prober: p}
			})
		})
	}
}

type texts map[string]string

// machine has 16 GiB, of which 10 can be had; this process has 1.25, 0.5 of it
// pages of files.
var machine = texts{
	"proc/meminfo":     "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   10485760 kB\n",
	"proc/cpuinfo":     "processor\t: 0\nmodel name\t: A Processor @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: A Processor @ 2 GHz\n",
	"proc/stat":        "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n",
	"proc/self/status": "Name:\tearshot\nVmRSS:\t 1310720 kB\nRssAnon:\t  524288 kB\nRssFile:\t  524288 kB\nRssShmem:\t  262144 kB\n",
}

func (m texts) with(more texts) fstest.MapFS {
	all := maps.Clone(m)
	maps.Copy(all, more)
	files := fstest.MapFS{}
	for name, text := range all {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func limit(bytes uint64) func() (uint64, error) {
	return func() (uint64, error) {
		if bytes == 0 {
			return 0, memlimit.ErrNoLimit
		}
		return bytes, nil
	}
}

func open(t *testing.T, files fstest.MapFS, bytes uint64) *Prober {
	t.Helper()
	p, err := Open(t.Context(), Options{Files: files, Limit: limit(bytes)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestTheMachinesMemory(t *testing.T) {
	p := open(t, machine.with(nil), 0)
	all, err := p.Devices(t.Context())
	if want := (gpu.Hardware{UUID: UUID, Device: "cpu", Name: "A Processor @ 2 GHz", TotalBytes: 16 << 30, Limit: "machine"}); err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("Devices = %+v, %v", all, err)
	}
	r, err := p.Read(t.Context(), UUID)
	if err != nil || r.TotalBytes != 16<<30 || r.FreeBytes != 10<<30 || r.UsedBytes != 6<<30 || r.OwnBytes != 3<<28 {
		t.Errorf("Read = %+v, %v", r, err)
	}
}

const (
	v1Mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n" +
		"36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n"
	v2Mounts = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
)

func TestACgroupsMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files texts
		limit uint64
		free  int64
	}{
		"v2": {texts{
			"proc/self/cgroup":                      "0::/pods/earshot\n",
			"proc/self/mountinfo":                   v2Mounts,
			"sys/fs/cgroup/pods/earshot/memory.max": "4294967296\n", "sys/fs/cgroup/pods/earshot/memory.current": "3221225472\n",
			"sys/fs/cgroup/pods/earshot/memory.stat": "anon 1\nfile 2\ninactive_file 1073741824\nactive_file 5\n",
		}, 4 << 30, 2 << 30},
		"v2 in a container, which sees its own as the root": {texts{
			"proc/self/cgroup":         "0::/\n",
			"proc/self/mountinfo":      v2Mounts,
			"sys/fs/cgroup/memory.max": "4294967296\n", "sys/fs/cgroup/memory.current": "1073741824\n", "sys/fs/cgroup/memory.stat": "inactive_file 0\n",
		}, 4 << 30, 3 << 30},
		"v2: a group around it has less left": {texts{
			"proc/self/cgroup":                      "0::/pods/earshot\n",
			"proc/self/mountinfo":                   v2Mounts,
			"sys/fs/cgroup/pods/earshot/memory.max": "4294967296\n", "sys/fs/cgroup/pods/earshot/memory.current": "1073741824\n",
			"sys/fs/cgroup/pods/memory.max": "8589934592\n", "sys/fs/cgroup/pods/memory.current": "8053063680\n", "sys/fs/cgroup/pods/memory.stat": "inactive_file 536870912\n",
			"sys/fs/cgroup/memory.stat": "inactive_file 7\n",
		}, 4 << 30, 1 << 30},
		"v2: only the group around it is bounded": {texts{
			"proc/self/cgroup":                      "0::/pods/earshot\n",
			"proc/self/mountinfo":                   v2Mounts,
			"sys/fs/cgroup/pods/earshot/memory.max": "max\n", "sys/fs/cgroup/pods/earshot/memory.current": "1\n",
			"sys/fs/cgroup/pods/memory.max": "2147483648\n", "sys/fs/cgroup/pods/memory.current": "1073741824\n",
		}, 2 << 30, 1 << 30},
		"v2: more is used than a limit that was lowered": {texts{
			"proc/self/cgroup":         "0::/\n",
			"proc/self/mountinfo":      v2Mounts,
			"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "2147483648\n",
		}, 1 << 30, 0},
		"v2: the machine has less left than the limit": {texts{
			"proc/self/cgroup":         "0::/\n",
			"proc/self/mountinfo":      v2Mounts,
			"sys/fs/cgroup/memory.max": "15032385536\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 14 << 30, 10 << 30},
		"v1": {texts{
			"proc/self/cgroup":    "4:memory:/docker/a b\n1:cpu:/other\n0::/unified\n",
			"proc/self/mountinfo": v1Mounts + v2Mounts,
			"sys/fs/cgroup/memory/docker/a b/memory.limit_in_bytes": "4294967296\n", "sys/fs/cgroup/memory/docker/a b/memory.usage_in_bytes": "3221225472\n",
			"sys/fs/cgroup/memory/docker/a b/memory.stat":   "inactive_file 3\ntotal_inactive_file 536870912\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":    "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":    "9000000000\n",
			"sys/fs/cgroup/unified/unified/memory.max":      "1\n",
			"sys/fs/cgroup/unified/unified/memory.current":  "1\n",
			"sys/fs/cgroup/cpu/docker/a b/cpu.cfs_quota_us": "-1\n",
		}, 4 << 30, 3 << 29},
		"v1 in a container, where its own is mounted": {texts{
			"proc/self/cgroup":                           "9:cpu,memory:/docker/a b\n",
			"proc/self/mountinfo":                        `35 31 0:32 /docker/a\040b /sys/fs/cgroup/memory ro - cgroup cgroup rw,cpu,memory` + "\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "4294967296\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "3221225472\n",
		}, 4 << 30, 1 << 30},
		"a limit whose files are not to be seen": {texts{"proc/self/cgroup": "0::/elsewhere\n", "proc/self/mountinfo": v2Mounts}, 4 << 30, 4 << 30},
		"a mount of another group":               {texts{"proc/self/cgroup": "0::/mine\n", "proc/self/mountinfo": "30 23 0:27 /min /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "sys/fs/cgroup/e/memory.max": "1\n", "sys/fs/cgroup/e/memory.current": "1\n"}, 4 << 30, 4 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, machine.with(c.files), c.limit)
			all, err := p.Devices(t.Context())
			if err != nil || all[0].TotalBytes != int64(c.limit) || all[0].Limit != "cgroup" {
				t.Errorf("Devices = %+v, %v", all, err)
			}
			r, err := p.Read(t.Context(), UUID)
			if err != nil || r.TotalBytes != int64(c.limit) || r.FreeBytes != c.free || r.UsedBytes != int64(c.limit)-c.free || r.OwnBytes > r.UsedBytes {
				t.Errorf("Read = %+v, %v; want %d bytes free", r, err, c.free)
			}
		})
	}
}

func TestALimitBeyondTheMachineIsNone(t *testing.T) {
	if all, err := open(t, machine.with(nil), 32<<30).Devices(t.Context()); err != nil || all[0].TotalBytes != 16<<30 || all[0].Limit != "machine" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestALimitThatChangesShowsInTheNextReading(t *testing.T) {
	bytes := uint64(4 << 30)
	p, err := Open(t.Context(), Options{Files: machine.with(nil), Limit: func() (uint64, error) { return bytes, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	bytes = 8 << 30
	if r, err := p.Read(t.Context(), UUID); err != nil || r.TotalBytes != 8<<30 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBusyIsTheLoadSinceTheReadingBefore(t *testing.T) {
	files := machine.with(nil)
	p := open(t, files, 0)
	for _, step := range []struct {
		stat string
		want float64
	}{
		{"cpu  100 0 100 700 100 0 0 0 50 0\n", 0},    // no time has passed
		{"cpu  130 10 110 730 110 5 5 0 70 0\n", 0.6}, // 60 of 100; the guests' time is in user's
		{"cpu  130 10 110 730 110 5 5 0 70 0\n", 0.6}, // no time has passed
		{"cpu  130 10 110 830 110 5 5 0 70 0\n", 0},   // idle
		{"cpu  230 10 110 831 100 5 5 0 70 0\n", 1},   // iowait went back
		{"cpu  230 10 110 831 100 5 5 100 70 0\n", 1}, // stolen by other guests: not ours to use
		{"cpu\n", 0}, // nothing is told
		{"cpu  330 10 110 931 100 5 5 100 70 0\n", .5}, // since the last that was
	} {
		files["proc/stat"].Data = []byte(step.stat)
		if r, err := p.Read(t.Context(), UUID); err != nil || r.Busy != step.want {
			t.Errorf("%q: %v, %v; want %v", step.stat, r.Busy, err, step.want)
		}
	}
}

func TestAKernelThatTellsLittle(t *testing.T) {
	files := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 1024 kB\n")}}
	p := open(t, files, 0)
	if all, err := p.Devices(t.Context()); err != nil || all[0].Name == "" {
		t.Errorf("Devices = %+v, %v", all, err)
	}
	if r, err := p.Read(t.Context(), UUID); err != nil || r.TotalBytes != 1<<20 || r.FreeBytes != 0 || r.OwnBytes != 0 || r.Busy != 0 {
		t.Errorf("Read = %+v, %v", r, err)
	}
	files["proc/self/status"] = &fstest.MapFile{Data: []byte("VmRSS:\t512 kB\n")}
	if r, err := p.Read(t.Context(), UUID); err != nil || r.OwnBytes != 512<<10 {
		t.Errorf("Read = %+v, %v", r, err)
	}
	delete(files, "proc/meminfo")
	if r, err := p.Read(t.Context(), UUID); err == nil || errors.Is(err, gpu.ErrLost) {
		t.Errorf("Read = %+v, %v", r, err)
	}
	if _, err := Open(t.Context(), Options{Files: fstest.MapFS{}, Limit: limit(0)}); err == nil {
		t.Error("a machine without memory was opened")
	}
}
