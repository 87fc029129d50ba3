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
// no process, looks into no other, names, moves and marks no file, shares no
// memory, and changes nothing about the system. Landlock leaves some of these
// free: sockets that are not TCP, modes, owners and times of files.
var forbiddenCalls = []uintptr{
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN,
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
	unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM,
	unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETAFFINITY, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	unix.SYS_EXECVEAT, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SYSLOG,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID,
	unix.SYS_SETRESGID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_PERSONALITY,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_MEMFD_CREATE,
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_SEMCTL, unix.SYS_MSGGET, unix.SYS_MSGCTL,
	unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_TRUNCATE,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
	unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
}

// firstUnknownCall begins the calls that came with Linux 5.1 and later, with the
// same numbers on all processors. None of them exists for a child: whatever they
// bring (io_uring does all of the above without calls), C libraries do without.
// So does clone3, whose flags a filter cannot see, and clone stands in for it.
const firstUnknownCall = 424

// argumentRule decides a call by one of its arguments, of which the kernel
// itself reads no more than 32 bits.
type argumentRule struct {
	call     uintptr
	argument uint32
	values   []uint32
	allowed  bool // whether these values, or all but these, may be
}

// argumentRules let a child signal and limit itself and nobody else. A
// descriptor's owner gets signals too, when there is something to read.
func argumentRules() []argumentRule {
	self := uint32(unix.Getpid()) // the same after execve
	return []argumentRule{
		{unix.SYS_TGKILL, 0, []uint32{self}, true},
		{unix.SYS_PRLIMIT64, 0, []uint32{0, self}, true},
		{unix.SYS_FCNTL, 1, []uint32{unix.F_SETOWN, unix.F_SETOWN_EX, unix.F_SETSIG}, false},
		{unix.SYS_IOCTL, 1, []uint32{unix.TIOCSTI, 0x8901 /* FIOSETOWN */, 0x8902 /* SIOCSPGRP */}, false},
	}
}

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16 // its low half, on the little-endian machines that this knows
)

// restrictCalls installs the filter for this thread and what it becomes. A
// forbidden call fails with EPERM. A new process fails likewise while a new
// thread may start. execve stays possible, since it is how ffmpeg starts:
// Landlock leaves nothing to execute but ffmpeg and the system's libraries.
func restrictCalls() error {
	if seccompArch == 0 {
		return errNoSeccomp
	}
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		set     = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		answer  = unix.BPF_RET | unix.BPF_K

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
		{Code: atLeast, K: 0x40000000, Jf: 1},
		{Code: answer, K: kill},
		{Code: atLeast, K: firstUnknownCall, Jf: 1},
		{Code: answer, K: absent},
		{Code: equal, K: unix.SYS_CLONE, Jf: 4},
		{Code: load, K: dataArg0},
		{Code: set, K: unix.CLONE_THREAD, Jt: 1},
		{Code: answer, K: refuse},
		{Code: answer, K: allow},
	}
	for _, r := range argumentRules() {
		listed, other := refuse, uint32(allow)
		if r.allowed {
			listed, other = other, listed
		}
		program = append(program,
			unix.SockFilter{Code: equal, K: uint32(r.call), Jf: uint8(2 + 2*len(r.values))},
			unix.SockFilter{Code: load, K: dataArg0 + 8*r.argument})
		for _, v := range r.values {
			program = append(program,
				unix.SockFilter{Code: equal, K: v, Jf: 1},
				unix.SockFilter{Code: answer, K: listed})
		}
		program = append(program, unix.SockFilter{Code: answer, K: other})
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
