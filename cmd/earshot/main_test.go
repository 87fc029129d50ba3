package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// builtBinary is the real program, built once for the tests that run it.
var builtBinary string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measureCommand {
		measureChild() // this binary stands in for the program that starts itself again
	}
	dir, err := os.MkdirTemp("", "earshot-test-")
	if err == nil {
		builtBinary = filepath.Join(dir, "bin", "earshot")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", builtBinary, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := stopServices(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		// Importing Google's clients starts a goroutine that ends with the process.
		if err := goleak.Find(goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// builtCommand is the real binary, ready to start.
func builtCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// The binary lies in a temporary folder, away from the project's cache.
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	if set := os.Getenv("EARSHOT_CACHE"); set != "" {
		cache = set
	}
	cmd := exec.CommandContext(t.Context(), builtBinary, args...)
	cmd.Env = append(os.Environ(), "EARSHOT_CACHE="+cache)
	return cmd
}

// program runs the real binary and returns its output and exit code; -1 for a
// process that a signal ended.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := builtCommand(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// command runs a command line in this process.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return out.String(), errs.String(), code
}
