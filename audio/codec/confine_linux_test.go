package codec

import (
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inheritable opens a file as a C library may: execve does not close it.
func inheritable(t *testing.T, path string) (closed func()) {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() { unix.Close(fd) }
}

// tryCalls tries what needs calls that the library has no words for. A call that
// is let through and fails for its arguments counts as one that could.
func tryCalls(could map[string]bool, secret string) {
	for name, family := range map[string]int{
		"inet": unix.AF_INET, "inet6": unix.AF_INET6, "unix": unix.AF_UNIX, "netlink": unix.AF_NETLINK,
		"packet": unix.AF_PACKET, "vsock": unix.AF_VSOCK, "kernel crypto": unix.AF_ALG, "bluetooth": unix.AF_BLUETOOTH,
	} {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			fd, err := unix.Socket(family, kind, 0)
			could["open a socket of "+name] = could["open a socket of "+name] || err != unix.EPERM
			if err == nil {
				unix.Close(fd)
			}
		}
	}
	_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	could["open a pair of sockets"] = err != unix.EPERM

	read := false
	for fd := 4; fd < 256; fd++ {
		b := make([]byte, 6)
		if n, err := unix.Pread(fd, b, 0); err == nil && string(b[:n]) == "secret" {
			read = true
		}
	}
	could["read an inherited file"] = read

	parent, self := os.Getppid(), os.Getpid()
	let := func(what string, number uintptr, arguments ...uintptr) {
		var a [6]uintptr
		copy(a[:], arguments)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		could[what] = errno != unix.EPERM && errno != unix.ENOSYS
	}
	let("signal its parent", unix.SYS_KILL, uintptr(parent), 0)
	let("signal its parent's thread", unix.SYS_TGKILL, uintptr(parent), uintptr(parent), 0)
	let("queue a signal to its parent", unix.SYS_RT_SIGQUEUEINFO, uintptr(parent), 0, 0)
	let("hold its parent by a pidfd", unix.SYS_PIDFD_OPEN, uintptr(parent), 0)
	let("limit its parent", unix.SYS_PRLIMIT64, uintptr(parent), unix.RLIMIT_NOFILE)
	let("slow its parent down", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, uintptr(parent), 5)
	let("have a pipe signal its parent", unix.SYS_FCNTL, 1, unix.F_SETOWN, uintptr(parent))
	let("choose a pipe's signal", unix.SYS_FCNTL, 1, unix.F_SETSIG, uintptr(unix.SIGKILL))
	let("trace its parent", unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(parent))
	let("read its parent's memory", unix.SYS_PROCESS_VM_READV, uintptr(parent))
	let("make a namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	let("fork", unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_VM) // no stack: EINVAL where it is let through
	let("clone by its newer call", unix.SYS_CLONE3, 0, 0)
	let("use io_uring", unix.SYS_IO_URING_SETUP, 1, 0)
	let("make a file of memory", unix.SYS_MEMFD_CREATE, 0, 0)
	let("share memory", unix.SYS_SHMGET, 0, 4096, 0o1600)
	let("load a BPF program", unix.SYS_BPF, 0, 0, 0)
	path, err := syscall.BytePtrFromString(secret)
	if err != nil {
		os.Exit(3)
	}
	let("change a file's mode", unix.SYS_FCHMODAT, uintptr(unix.AT_FDCWD&(1<<64-1)), uintptr(unsafe.Pointer(path)), 0o644)
	let("change a file's owner", unix.SYS_FCHOWNAT, uintptr(unix.AT_FDCWD&(1<<64-1)), uintptr(unsafe.Pointer(path)), uintptr(os.Getuid()), uintptr(os.Getgid()))
	let("change a file's times", unix.SYS_UTIMENSAT, uintptr(unix.AT_FDCWD&(1<<64-1)), uintptr(unsafe.Pointer(path)), 0, 0)
	let("remove a file", unix.SYS_UNLINKAT, uintptr(unix.AT_FDCWD&(1<<64-1)), uintptr(unsafe.Pointer(path)), 0)

	could["raise its limits"] = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30}) == nil
	var held [2]unix.CapUserData
	err = unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &held[0])
	could["hold a capability"] = err != nil || held != [2]unix.CapUserData{}
	if unix.Tgkill(self, unix.Gettid(), 0) != nil {
		os.Exit(4) // abort() ends with a signal to itself
	}
}
