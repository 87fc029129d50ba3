package pubsub

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/earshot-fm/earshot/workers/message"
)

// guard is a service that answers nothing but what rights there are.
type guard struct {
	iampb.UnimplementedIAMPolicyServer
	answer func(context.Context) ([]string, error)
	asked  []*iampb.TestIamPermissionsRequest
}

func (g *guard) TestIamPermissions(ctx context.Context, r *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	g.asked = append(g.asked, r)
	rights, err := g.answer(ctx)
	return &iampb.TestIamPermissionsResponse{Permissions: rights}, err
}

func (g *guard) serve(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	iampb.RegisterIAMPolicyServer(server, g)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // it ends with Stop
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return l.Addr().String()
}

// A probe is one call, which needs no other right than fetching does.
func TestReachTakesTheWorkersOwnRightAlone(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(context.Context) ([]string, error)
		says   string // empty: reached
	}{
		"the right is there": {func(context.Context) ([]string, error) { return []string{"pubsub.subscriptions.consume"}, nil }, ""},
		"no right, or none to have it on": {func(context.Context) ([]string, error) { return nil, nil },
			"projects/p/subscriptions/mine is missing, or there is no right pubsub.subscriptions.consume on it"},
		"missing":        {func(context.Context) ([]string, error) { return nil, status.Error(codes.NotFound, "no") }, "preflight --create"},
		"no credentials": {func(context.Context) ([]string, error) { return nil, status.Error(codes.Unauthenticated, "who?") }, "are the credentials valid?"},
		"down":           {func(context.Context) ([]string, error) { return nil, status.Error(codes.Unavailable, "down") }, "down"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &guard{answer: test.answer}
			c, err := Open(t.Context(), Options{Project: "p", Emulator: g.serve(t), Subscriptions: Subscriptions{Live: "mine"}})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Reach(t.Context())
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if len(g.asked) != 1 || g.asked[0].Resource != "projects/p/subscriptions/mine" {
				t.Errorf("asked: %v", g.asked)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReachWaitsNoLongerThanItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := &guard{answer: func(call context.Context) ([]string, error) {
		cancel()
		<-call.Done() // it never answers
		return nil, call.Err()
	}}
	c := bare(t, g.serve(t), "p", message.Binary)
	if err := c.Reach(ctx); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
}

// Emulators know no rights: there it is seen whether the subscription exists, and
// no message is taken.
func TestReachOnEmulators(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		c := bare(t, address(t), "reach", message.Binary)
		if err := c.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "earshot-live") || !strings.Contains(err.Error(), "preflight --create") {
			t.Errorf("with nothing there: %v", err)
		}
		create(t, c)
		publish(t, c, event(1))
		if err := c.Reach(t.Context()); err != nil {
			t.Error(err)
		}
		finish, _ := holding(t, c) // the message is still to be had
		finish()
	})
}
