package codec

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock can forbid, by the version of its interface that brought it
// (linux/landlock.h).
const (
	landlockFiles1     = 1<<13 - 1
	landlockRefer2     = 1 << 13
	landlockTruncate3  = 1 << 14
	landlockDevices5   = 1 << 15
	landlockTCP4       = 1<<0 | 1<<1
	landlockScopes6    = 1<<0 | 1<<1
	landlockReadFile   = unix.LANDLOCK_ACCESS_FS_READ_FILE
	landlockExecute    = unix.LANDLOCK_ACCESS_FS_EXECUTE
	landlockReadFolder = unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// libraryPlaces is where a dynamic loader finds what ffmpeg links to.
var libraryPlaces = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"}

// restrictFiles leaves this thread, and what it becomes, no file but program
// and the system's libraries to open (what is open already stays), and no TCP.
// network and err say which of the two could not be had.
func restrictFiles(program string) (network, err error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		err = fmt.Errorf("the kernel has no Landlock (%w)", errno)
		return err, err
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: landlockFiles1}
	if version >= 2 {
		attr.Handled_access_fs |= landlockRefer2
	}
	if version >= 3 {
		attr.Handled_access_fs |= landlockTruncate3
	}
	if version >= 5 {
		attr.Handled_access_fs |= landlockDevices5
	}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	network = errors.New("needs Linux 6.7")
	if version >= 4 {
		attr.Handled_access_net = landlockTCP4
		size += unsafe.Sizeof(attr.Handled_access_net)
		network = nil
	}
	if version >= 6 {
		attr.Scoped = landlockScopes6
		size += unsafe.Sizeof(attr.Scoped)
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno, errno
	}
	defer unix.Close(int(ruleset))
	if program != shimProbe {
		for _, place := range append([]string{program}, libraryPlaces...) {
			if err := allowReading(int(ruleset), place); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err, err
			}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return errno, errno
	}
	return network, nil
}

func allowReading(ruleset int, place string) error {
	fd, err := unix.Open(place, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: landlockReadFile | landlockExecute, Parent_fd: int32(fd)}
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
		rule.Allowed_access |= landlockReadFolder
	}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("%s: %w", place, errno)
	}
	return nil
}
