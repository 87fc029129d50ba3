package ort

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static int frugal(void) {
#ifdef __GLIBC__
	return mallopt(M_MMAP_THRESHOLD, 64 * 1024) && mallopt(M_ARENA_MAX, 2);
#else
	return 1;
#endif
}

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"
import "errors"

// giveBack makes the C library return what sessions free. glibc's malloc raises
// the size from which a block gets its own mapping up to that of what is freed,
// so that weights come to lie in its heaps, one for each few threads, where what
// follows them keeps them from the kernel: a model of 13 MB left 40 MB behind
// each time it was closed and opened again. With a fixed threshold and two heaps
// the process levels off. It is called before any thread of onnxruntime is there.
func giveBack() error {
	if C.frugal() == 0 {
		return errors.New("ort: mallopt refuses to set the allocator")
	}
	return nil
}

// Trim gives what the C library keeps free, for whoever asks next, back to the
// kernel. Closed sessions leave some there.
func Trim() { C.trim() }
