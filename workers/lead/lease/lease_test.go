package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	coordination "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/workers/lead"
	"github.com/earshot-fm/earshot/workers/lead/leadtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	leadtest.Run(t, func(t *testing.T) func(string) lead.Leader {
		server := httptest.NewServer(&apiServer{})
		t.Cleanup(server.Close)
		return func(name string) lead.Leader {
			l, err := New(&rest.Config{Host: server.URL, Transport: server.Client().Transport}, Options{Namespace: "podcasts", Name: "feeds", Identity: name, Retry: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
	})
}

var errCut = errors.New("connection refused")

// tenures records who works when.
type tenures struct {
	mu      sync.Mutex
	working string
	log     []string
	overlap error
}

// work works until its context ends, and then for as long as it takes.
func (r *tenures) work(name string, takes time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		r.note(name, "begins")
		<-ctx.Done()
		<-time.After(takes)
		r.note(name, "ends")
		return ctx.Err()
	}
}

func (r *tenures) note(name, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if what == "begins" {
		if r.working != "" {
			r.overlap = fmt.Errorf("%s begins while %s works", name, r.working)
		}
		r.working = name
	} else {
		r.working = ""
	}
	r.log = append(r.log, fmt.Sprintf("%s %s", name, what))
}

func (r *tenures) read() (log string, overlap error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, ", "), r.overlap
}

// lead has a candidate lead until stop.
func (r *tenures) lead(t *testing.T, c *Leader, takes time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var leading sync.WaitGroup
	leading.Go(func() {
		if err := c.Lead(ctx, r.work(c.options.Identity, takes)); err != nil {
			t.Errorf("%s: %v", c.options.Identity, err)
		}
	})
	return func() {
		cancel()
		leading.Wait()
	}
}

func want(t *testing.T, r *tenures, log string) {
	t.Helper()
	synctest.Wait()
	if got, err := r.read(); got != log || err != nil {
		t.Errorf("%q, %v; want %q", got, err, log)
	}
}

func TestALeaderThatCannotRenewStopsBeforeAnotherBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := &apiServer{}, &tenures{}
		var mu sync.Mutex
		cut := false
		a := candidate(t, &link{server: server, fault: func(*http.Request) error {
			mu.Lock()
			defer mu.Unlock()
			if cut {
				return errCut
			}
			return nil
		}}, Options{Identity: "a"})
		b := candidate(t, &link{server: server}, Options{Identity: "b"})
		stopA := r.lead(t, a, 4*time.Second) // it takes its time to stop, and less than it has
		want(t, r, "a begins")
		stopB := r.lead(t, b, 0)
		<-time.After(10 * time.Minute)
		want(t, r, "a begins")
		mu.Lock()
		cut = true
		mu.Unlock()
		<-time.After(time.Minute)
		want(t, r, "a begins, a ends, b begins")
		mu.Lock()
		cut = false
		mu.Unlock()
		<-time.After(time.Minute)
		want(t, r, "a begins, a ends, b begins")
		stopB()
		<-time.After(5 * time.Second) // no Lease has to run out
		want(t, r, "a begins, a ends, b begins, b ends, a begins")
		stopA()
		if l := server.read(); deref(l.Spec.HolderIdentity) != "" || deref(l.Spec.LeaseTransitions) != 2 || deref(l.Spec.LeaseDurationSeconds) != 15 {
			t.Errorf("left behind: %+v", l.Spec)
		}
	})
}

func TestADeadLeadersLeaseRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := &apiServer{}, &tenures{}
		server.edit(func(l *coordination.Lease) {
			l.Labels = map[string]string{"team": "audio"}
			l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = new("dead"), new(int32(40))
			l.Spec.RenewTime = microTime(time.Now().Add(1000 * time.Hour)) // its clock was wrong
		})
		stop := r.lead(t, candidate(t, &link{server: server}, Options{Identity: "a"}), 0)
		defer stop()
		<-time.After(39 * time.Second)
		want(t, r, "")
		<-time.After(5 * time.Second)
		want(t, r, "a begins")
		if l := server.read(); l.Labels["team"] != "audio" {
			t.Errorf("labels %v", l.Labels)
		}
	})
}

func TestAPodThatWasRestartedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := &apiServer{}, &tenures{}
		server.edit(func(l *coordination.Lease) { l.Spec.HolderIdentity = new("a") })
		defer r.lead(t, candidate(t, &link{server: server}, Options{Identity: "a"}), 0)()
		want(t, r, "a begins")
	})
}

func TestALeaseThatIsTakenAwayEndsTheWork(t *testing.T) {
	for name, take := range map[string]func(*apiServer){
		"by another": func(s *apiServer) {
			s.edit(func(l *coordination.Lease) { l.Spec.HolderIdentity = new("usurper") })
		},
		"by its deletion": func(s *apiServer) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lease = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, r := &apiServer{}, &tenures{}
				stop := r.lead(t, candidate(t, &link{server: server}, Options{Identity: "a"}), 0)
				want(t, r, "a begins")
				take(server)
				<-time.After(3 * time.Second)
				if log, _ := r.read(); !strings.HasPrefix(log, "a begins, a ends") {
					t.Errorf("%q", log)
				}
				stop()
			})
		})
	}
}

func TestALabelOnTheLeaseIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, r := &apiServer{}, &tenures{}
		stop := r.lead(t, candidate(t, &link{server: server}, Options{Identity: "a"}), 0)
		want(t, r, "a begins")
		server.edit(func(l *coordination.Lease) { l.Labels = map[string]string{"x": "y"} })
		<-time.After(time.Minute)
		want(t, r, "a begins")
		if l := server.read(); l.Labels["x"] != "y" {
			t.Errorf("labels %v", l.Labels)
		}
		stop()
	})
}

func TestWithoutTheRightToLeasesThereIsNoLeader(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"kind":"Status","status":"Failure","code":403,"message":"leases \"feeds\" is forbidden"}`)
	}))
	defer refuse.Close()
	l, err := New(&rest.Config{Host: refuse.URL, BearerToken: "s3cret", Transport: refuse.Client().Transport}, Options{Namespace: "podcasts", Name: "feeds"})
	if err != nil {
		t.Fatal(err)
	}
	err = l.Lead(t.Context(), func(context.Context) error { t.Error("worked"); return nil })
	if err == nil || !strings.Contains(err.Error(), "needs get, create and update") || !strings.Contains(err.Error(), "is forbidden") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}

// Whatever fails and whatever is slow, no two work at once; and when all is
// well again, one works.
func TestNoTwoWorkAtOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		faults := rapid.IntRange(1, 90).Draw(rt, "percent that fail")
		synctest.Test(t, func(t *testing.T) {
			server, r := &apiServer{}, &tenures{}
			var mu sync.Mutex
			chance := rand.New(rand.NewPCG(seed, 0))
			well := false
			fail := func(req *http.Request) error {
				mu.Lock()
				fails, slow, kind := !well && chance.IntN(100) < faults, time.Duration(chance.Int64N(int64(8*time.Second))), chance.IntN(3)
				if well {
					kind, slow = 2, 0
				}
				mu.Unlock()
				if kind < 2 {
					select {
					case <-time.After(slow):
					case <-req.Context().Done():
						return req.Context().Err()
					}
				}
				if fails {
					return errCut
				}
				return nil
			}
			var stops []func()
			for i := range 3 {
				c := candidate(t, &link{server: server, fault: fail, lost: fail}, Options{Identity: fmt.Sprint("replica ", i)})
				stops = append(stops, r.lead(t, c, 5*time.Second-time.Millisecond))
			}
			<-time.After(3 * time.Minute)
			mu.Lock()
			well = true
			mu.Unlock()
			<-time.After(2 * time.Minute)
			r.mu.Lock()
			if r.overlap != nil || r.working == "" {
				t.Errorf("seed %d: %v; at work: %q\n%s", seed, r.overlap, r.working, strings.Join(r.log, "\n"))
			}
			r.mu.Unlock()
			for _, stop := range stops {
				stop()
			}
		})
	})
}

func TestSettingsAreChecked(t *testing.T) {
	for _, o := range []Options{
		{Name: "x"}, {Namespace: "x"},
		{Namespace: "x", Name: "x", Duration: 1500 * time.Millisecond},
		{Namespace: "x", Name: "x", Deadline: time.Minute},
		{Namespace: "x", Name: "x", Retry: time.Minute},
	} {
		if _, err := New(&rest.Config{Host: "http://kubernetes.test"}, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestOutsideOfAPodTheKubeconfigSaysWhere(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", file)
	if _, err := Connect(Options{Name: "feeds"}); err == nil {
		t.Error("connected to nothing")
	}
	if err := os.WriteFile(file, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"k","cluster":{"server":"https://10.0.0.1:6443/base"}}],
"contexts":[{"name":"c","context":{"cluster":"k","user":"u","namespace":"podcasts"}}],"users":[{"name":"u","user":{"token":"s3cret"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Connect(Options{Name: "feeds"})
	if err != nil || l.api.one != "https://10.0.0.1:6443/base"+path+"/feeds" {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = Connect(Options{Name: "feeds", Namespace: "others"})
	if err != nil || !strings.Contains(l.api.one, "/namespaces/others/") {
		t.Errorf("%+v, %v", l, err)
	}
}
