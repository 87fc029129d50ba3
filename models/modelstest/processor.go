package modelstest

import (
	"syscall"
	"testing"
)

// ProcessorSeconds is what this process has had of the processors so far, in
// user mode and in the kernel: what a benchmark on a shared machine is measured
// by, where the clock tells how many others there were.
func ProcessorSeconds(t testing.TB) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
