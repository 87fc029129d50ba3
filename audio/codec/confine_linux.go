package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	if len(os.Args) >= 3 && os.Args[0] == shimName {
		shim(os.Args[1], os.Args[2], os.Args[3:])
	}
}

func shimCommand(ctx context.Context, program string, given confinement, args []string) *exec.Cmd {
	spec, err := json.Marshal(given)
	if err != nil {
		panic(err) // five numbers
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{shimName, string(spec), program}, args...)
	// The Go runtime of the shim lives for milliseconds: one thread, no
	// collector. ffmpeg itself gets an empty environment.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"}
	// A group of its own, so that a Ctrl-C at the terminal reaches Earshot
	// alone, which then drains.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// shim confines this process and becomes program; it does not return.
func shim(spec, program string, args []string) {
	fail := func(err error) {
		fmt.Fprintf(os.Stderr, "[fatal] confining ffmpeg: %v\n", err)
		os.Exit(shimFailed)
	}
	var l confinement
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		fail(err)
	}
	if err := closeOthers(3 + l.Files); err != nil {
		fail(err)
	}
	// no_new_privs, capabilities, Landlock and seccomp hold for one thread, and what calls
	// execve is what lives on.
	runtime.LockOSThread()
	var c Confinement
	note := func(mechanism string, err error) {
		if err != nil {
			c.Missing = append(c.Missing, fmt.Sprintf("%s: %v", mechanism, err))
			return
		}
		c.Active = append(c.Active, mechanism)
	}
	if err := setRlimits(l.limits); err != nil {
		fail(err)
	}
	note("rlimits", nil)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fail(fmt.Errorf("no_new_privs: %w", err))
	}
	note("no_new_privs", nil)
	if err := dropCapabilities(); err != nil {
		fail(err)
	}
	note("no capabilities", nil)
	network, err := restrictFiles(program)
	note("Landlock files", err)
	note("Landlock network", network)
	if program == shimProbe {
		note("seccomp", restrictCalls())
		if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
			fail(err)
		}
		os.Exit(0)
	}
	// What execve needs is made before the filter, after which this process
	// should do nothing else.
	argv := append([]string{program}, args...)
	if err := restrictCalls(); err != nil && !errors.Is(err, errNoSeccomp) {
		fail(err)
	}
	fail(fmt.Errorf("%s: %w", program, syscall.Exec(program, argv, []string{})))
}

// closeOthers keeps the descriptors from first on from the program. Go's own are
// closed by execve in any case; those that a C library opened (a GPU's driver,
// onnxruntime) may not be.
func closeOthers(first int) error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("closing other files: %w", err)
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// dropCapabilities leaves a root that owns root's files and is no more: with
// no_new_privs, execve does not give back what was dropped. Otherwise it could
// raise its limits again.
func dropCapabilities() error {
	none := [2]unix.CapUserData{}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}

func setRlimits(l limits) error {
	seconds := uint64(l.CPU.Seconds()) + 1
	for _, r := range []struct {
		name      string
		resource  int
		cur, most uint64
	}{
		{"core files", unix.RLIMIT_CORE, 0, 0},
		// No soft limit before it: ffmpeg takes its signal for a request to end
		// well, and what it gives then looks like the end of the file.
		{"processor time", unix.RLIMIT_CPU, seconds, seconds},
		{"open files", unix.RLIMIT_NOFILE, l.OpenFiles, l.OpenFiles},
		{"file size", unix.RLIMIT_FSIZE, l.FileBytes, l.FileBytes},
	} {
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: r.cur, Max: r.most}); err != nil {
			return fmt.Errorf("limiting %s: %w", r.name, err)
		}
	}
	// Last: the shim's own runtime has reserved its address space by now.
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: l.MemoryBytes, Max: l.MemoryBytes}); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	return nil
}

// growPipe lets ffmpeg run ahead: at 64 KiB it would stop after every few
// frames. What the kernel does not grant is not needed.
func growPipe(r io.Reader) {
	if f, ok := r.(*os.File); ok {
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
		}
	}
}

type howEnded int

const (
	endedByItself howEnded = iota
	endedBySignal
	endedByCPULimit
)

// ending says how a child with these limits ended.
func ending(state *os.ProcessState, l limits) howEnded {
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case !ok || !status.Signaled():
		return endedByItself
	case status.Signal() == syscall.SIGXCPU, state.UserTime()+state.SystemTime() >= l.CPU:
		return endedByCPULimit
	}
	return endedBySignal
}
