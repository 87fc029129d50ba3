package codec

import "golang.org/x/sys/unix"

const seccompArch = unix.AUDIT_ARCH_X86_64

var forbiddenHere = []uintptr{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_KEXEC_FILE_LOAD,
}
