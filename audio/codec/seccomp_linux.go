package codec

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoSeccomp says that this processor has no list of calls here.
var errNoSeccomp = errors.New("not known for this processor")

// forbiddenCalls are what a decoder never does: it opens no connection, starts
// no process, looks into no other, and changes nothing about the system.
// io_uring is among them because it would do all of that without calls.
var forbiddenCalls = []uintptr{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN,
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_KILL, unix.SYS_TKILL,
	unix.SYS_EXECVEAT, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY,
	unix.SYS_REQUEST_KEY, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_ACCT, unix.SYS_QUOTACTL,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID,
	unix.SYS_SETRESGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_PERSONALITY,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_MEMFD_CREATE,
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16 // its low half, on the little-endian machines that this knows
)

// restrictCalls installs the filter for this thread and what it becomes. A
// forbidden call fails with EPERM. A new process fails likewise while a new
// thread may start; clone3, whose flags a filter cannot see, answers ENOSYS, on
// which the C library uses clone instead. execve stays possible, since it is
// how ffmpeg starts: Landlock leaves nothing to execute but ffmpeg and the
// loader.
func restrictCalls() error {
	if seccompArch == 0 {
		return errNoSeccomp
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		set    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		atMost = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K

		allow  = unix.SECCOMP_RET_ALLOW
		kill   = unix.SECCOMP_RET_KILL_PROCESS
		refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		absent = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	program := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: equal, K: seccompArch, Jt: 1},
		{Code: answer, K: kill},
		{Code: load, K: dataNumber},
		// The x32 numbers of the same calls.
		{Code: atMost, K: 0x40000000, Jf: 1},
		{Code: answer, K: kill},
		{Code: equal, K: unix.SYS_CLONE3, Jf: 1},
		{Code: answer, K: absent},
		{Code: equal, K: unix.SYS_CLONE, Jf: 4},
		{Code: load, K: dataArg0},
		{Code: set, K: unix.CLONE_THREAD, Jt: 1},
		{Code: answer, K: refuse},
		{Code: answer, K: allow},
	}
	for _, call := range append(forbiddenCalls, forbiddenHere...) {
		program = append(program,
			unix.SockFilter{Code: equal, K: uint32(call), Jf: 1},
			unix.SockFilter{Code: answer, K: refuse})
	}
	program = append(program, unix.SockFilter{Code: answer, K: allow})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
