// Package pubsubtest runs the Pub/Subs that tests use: Google's emulator, which
// comes with the Google Cloud SDK, and the in-memory server of its Go library.
package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// ErrNoEmulator says that there is no emulator on this machine.
var ErrNoEmulator = errors.New("no Pub/Sub emulator: it needs java and the Google Cloud SDK with its component pubsub-emulator")

// Required says that a test which would use the emulator fails without it: in
// continuous integration, or when EARSHOT_REQUIRE_EMULATOR is 1. 0 overrides
// both.
func Required() bool {
	if wish := os.Getenv("EARSHOT_REQUIRE_EMULATOR"); wish != "" {
		return wish != "0"
	}
	return os.Getenv("CI") != ""
}

// Emulator is a running emulator. It has every project, and keeps nothing.
type Emulator struct {
	Address string // host:port, on the loopback

	command *exec.Cmd
	ended   sync.WaitGroup
}

// Start starts an emulator and returns when it answers; ErrNoEmulator when there
// is none.
func Start(ctx context.Context) (*Emulator, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, ErrNoEmulator
	}
	jar := find()
	if jar == "" {
		return nil, ErrNoEmulator
	}
	for range 3 { // another process may take the port first
		var e *Emulator
		if e, err = start(ctx, java, jar); err == nil {
			return e, nil
		}
	}
	return nil, err
}

// find is the emulator's jar, empty when the SDK has none.
func find() string {
	roots := []string{"/usr/lib/google-cloud-sdk", "/usr/share/google-cloud-sdk"}
	if gcloud, err := exec.LookPath("gcloud"); err == nil {
		if gcloud, err = filepath.EvalSymlinks(gcloud); err == nil { // …/google-cloud-sdk/bin/gcloud
			roots = append([]string{filepath.Dir(filepath.Dir(gcloud))}, roots...)
		}
	}
	for _, root := range roots {
		jars, _ := filepath.Glob(filepath.Join(root, "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"))
		if len(jars) > 0 {
			return jars[0]
		}
	}
	return ""
}

func start(ctx context.Context, java, jar string) (*Emulator, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	e := &Emulator{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	e.command = exec.Command(java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-jar", jar, "--host=127.0.0.1", fmt.Sprintf("--port=%d", port))
	// It dies with whoever started it.
	e.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.command.Start(); err != nil {
		return nil, fmt.Errorf("start the Pub/Sub emulator: %w", err)
	}
	starting, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it has not answered for a minute"))
	defer cancel()
	starting, fail := context.WithCancelCause(starting)
	defer fail(nil)
	e.ended.Go(func() { fail(fmt.Errorf("it has ended: %v", e.command.Wait())) })
	if err := answers(starting, e.Address); err != nil {
		return nil, errors.Join(fmt.Errorf("start the Pub/Sub emulator: %w: %w", context.Cause(starting), err), e.Stop())
	}
	return e, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for the Pub/Sub emulator: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// answers waits until the emulator does.
func answers(ctx context.Context, address string) error {
	topics, err := vkit.NewTopicAdminClient(ctx, option.WithEndpoint(address), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second,
		})))
	if err != nil {
		return err
	}
	_, err = topics.ListTopics(ctx, &pubsubpb.ListTopicsRequest{Project: "projects/any"}, gax.WithGRPCOptions(grpc.WaitForReady(true))).Next()
	if errors.Is(err, iterator.Done) {
		err = nil
	}
	return errors.Join(err, topics.Close())
}

// Stop ends the emulator, and fails when it is still there.
func (e *Emulator) Stop() error {
	// That it has ended by itself is no fault here.
	if err := e.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the Pub/Sub emulator: %w", err)
	}
	e.ended.Wait()
	if err := syscall.Kill(e.command.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the Pub/Sub emulator: process %d is still there: %v", e.command.Process.Pid, err)
	}
	return nil
}
