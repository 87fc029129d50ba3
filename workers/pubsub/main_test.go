package pubsub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/pubsub/pubsubtest"
)

func TestMain(m *testing.M) {
	if address := os.Getenv("EARSHOT_TEST_PUBSUB_CHILD"); address != "" {
		os.Exit(workUntilKilled(address))
	}
	// A library of the library's counts calls from a goroutine that it starts when
	// the program does.
	goleak.VerifyTestMain(suite{m}, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// suite is the tests, and the emulator that they share.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if emulator.running != nil {
		if err := emulator.running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

var emulator struct {
	once    sync.Once
	running *pubsubtest.Emulator
	err     error
}

// eachService runs a test on the in-memory server of the library, and on the
// emulator where there is one.
func eachService(t *testing.T, test func(t *testing.T, address func(t *testing.T) string)) {
	t.Run("in memory", func(t *testing.T) {
		test(t, func(t *testing.T) string { return inMemory(t).Address })
	})
	if address := emulated(t); address != "" {
		t.Run("emulator", func(t *testing.T) {
			test(t, func(*testing.T) string { return address })
		})
	}
}

// emulated is the emulator's address, empty where there is none and none is
// required.
func emulated(t *testing.T) string {
	t.Helper()
	emulator.once.Do(func() { emulator.running, emulator.err = pubsubtest.Start(context.Background()) })
	switch {
	case emulator.err == nil:
		return emulator.running.Address
	case errors.Is(emulator.err, pubsubtest.ErrNoEmulator) && !pubsubtest.Required():
		message := fmt.Sprintf("%s: on the library's in-memory server only: %v", t.Name(), emulator.err)
		t.Log(message)
		fmt.Println(message)
	default:
		t.Fatalf("%v (EARSHOT_REQUIRE_EMULATOR=0 has the suite run without)", emulator.err)
	}
	return ""
}

func inMemory(t *testing.T, options ...pstest.ServerReactorOption) *pubsubtest.Memory {
	t.Helper()
	server, err := pubsubtest.StartMemory(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

var projects atomic.Int64

// open gives a client of a project of its own that has all it needs.
func open(t *testing.T, address string, o Options) *Client {
	t.Helper()
	if o.Project == "" {
		o.Project = fmt.Sprintf("test-%d", projects.Add(1))
	}
	o.Emulator = address
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Create(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// quick has what a service lost on the way come back after 10 s, not 60: the
// emulator loses what comes at the moment at which a fetch is given up.
func quick(t *testing.T, c *Client) *Client {
	t.Helper()
	for _, p := range c.places() {
		if !p.read {
			continue
		}
		_, err := c.subs.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
			Subscription: &pubsubpb.Subscription{Name: c.subscription(p.id), AckDeadlineSeconds: int32(shortestLease / time.Second)},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func done() workers.Verdict {
	return workers.Verdict{Kind: workers.Done, Outcome: workers.Enriched}
}
