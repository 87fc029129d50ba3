// Command earshot turns podcast episodes into searchable metadata and previews
// that are ready to play. One file here is one subcommand; pipeline.go wires
// the drivers to the graph.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/models"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := context.WithCancel(context.Background())
	listen()
	go func() {
		for again := false; ; again = true {
			sig := <-ended
			// A second signal kills the process at once, for whoever cannot wait for
			// the drain: by itself, unless it is listened to again since.
			signal.Reset(endSignals...)
			if again {
				_ = syscall.Kill(os.Getpid(), sig.(syscall.Signal)) // there is no other process of this number
			}
			stop()
		}
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// endSignals end the program, after a drain where there is something to drain.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

var ended = make(chan os.Signal, 1)

// listen makes endSignals arrive in ended. CUDA puts handlers of its own in the
// place of Go's when it is set up: then it is called again.
func listen() {
	signal.Reset(endSignals...)
	signal.Notify(ended, endSignals...)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{out: stdout, err: stderr, probers: newProbers()}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	err = errors.Join(err, a.stopProfile())
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "earshot: %v\n", err)
	return exitCode(ctx, err)
}

// exitCode is what a command that failed with err, under ctx, exits with.
func exitCode(ctx context.Context, err error) int {
	if c, ok := errors.AsType[*exitError](err); ok {
		return c.code
	}
	switch {
	case errors.Is(err, models.ErrDeviceLost):
		return exitLostDevice
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}

// The exit codes, documented in docs/cli.md.
const (
	exitOK          = 0
	exitFailed      = 1 // something went wrong; trying again may help
	exitUsage       = 2 // the command line or the configuration is wrong
	exitRejected    = 3 // an episode was rejected, the reason printed; trying again will not help
	exitIncomplete  = 4 // demo: the outcome is not what the sample's truth expects
	exitMissingPart = 5 // a part of the installation is missing; the message says how to get it
	exitLostDevice  = 6 // a device is lost to this process; start a fresh one: no work is lost
	exitInterrupted = 130
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// app is what every subcommand shares: where it writes, and the global flags.
type app struct {
	out, err io.Writer

	configPath  string
	models      []string // --models
	devicesKind string   // --devices
	state       string
	format      string // "text" or "json"
	verbose     bool
	logFormat   string // "text" or "json"
	profile     string
	profiling   *os.File
	probers     probers
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "earshot",
		Short:         "Searchable metadata and ready-to-play previews for podcast episodes",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          args(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.format != "text" && a.format != "json" {
				return exit(exitUsage, fmt.Errorf("--output %q: want text or json", a.format))
			}
			if a.logFormat != "text" && a.logFormat != "json" {
				return exit(exitUsage, fmt.Errorf("--log-format %q: want text or json", a.logFormat))
			}
			return a.startProfile()
		},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return exit(exitUsage, fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
	})
	f := root.PersistentFlags()
	f.StringVar(&a.configPath, "config", "", "configuration file (YAML); without it the built-in defaults")
	f.StringVar(&a.state, "state", "", "folder of the embedded queue, index, artifacts and origin (default $XDG_DATA_HOME/earshot)")
	f.StringVarP(&a.format, "output", "o", "text", "text or json; json is a stable contract")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log what happens")
	f.StringVar(&a.logFormat, "log-format", "text", "of the log on standard error: text or json")
	f.StringVar(&a.profile, "cpuprofile", "", "write a CPU profile to a file")
	_ = f.MarkHidden("cpuprofile") // for make bench
	root.AddCommand(
		newDemo(a), newEnrich(a), newSearch(a), newStream(a), newAPI(a), newSubmit(a), newRemove(a), newDeadLetters(a), newPreflight(a), newIndex(a), newOrigin(a), newExplain(a),
		newGraph(a), newModels(a), newDevices(a), newEval(a), newConfig(a), newVersion(a),
		newMeasure(a),
	)
	return root
}

// args checks the number of a subcommand's arguments and makes a wrong one a
// usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		if err := check(c, a); err != nil {
			return exit(exitUsage, fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
		}
		return nil
	}
}
