package lease

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const path = "/apis/coordination.k8s.io/v1/namespaces/podcasts/leases"

// apiServer is what Kubernetes does with leases: it keeps the one named feeds,
// and changes it only for who knows its latest version.
type apiServer struct {
	mu      sync.Mutex
	version int
	lease   *coordination.Lease
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(code int, reason meta.StatusReason) {
		answer(code, meta.Status{Status: meta.StatusFailure, Code: int32(code), Reason: reason, Message: fmt.Sprintf("leases %q: %s", "feeds", reason)})
	}
	var sent coordination.Lease
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent.Kind != "Lease" || sent.Name != "feeds" || sent.Namespace != "podcasts" {
			fail(http.StatusBadRequest, meta.StatusReasonBadRequest)
			return
		}
	}
	switch {
	case r.Method == http.MethodPost && r.URL.Path == path && s.lease != nil:
		fail(http.StatusConflict, meta.StatusReasonAlreadyExists)
		return
	case r.Method == http.MethodPost && r.URL.Path == path && sent.ResourceVersion == "":
	case r.URL.Path != path+"/feeds", s.lease == nil:
		fail(http.StatusNotFound, meta.StatusReasonNotFound)
		return
	case r.Method == http.MethodGet:
		answer(http.StatusOK, s.lease)
		return
	case r.Method != http.MethodPut:
		fail(http.StatusMethodNotAllowed, meta.StatusReasonMethodNotAllowed)
		return
	case sent.ResourceVersion != s.lease.ResourceVersion:
		fail(http.StatusConflict, meta.StatusReasonConflict)
		return
	}
	s.put(&sent)
	answer(http.StatusOK, s.lease)
}

func (s *apiServer) put(l *coordination.Lease) {
	s.version++
	l.ResourceVersion = strconv.Itoa(s.version)
	s.lease = l
}

// edit changes the lease as another client would.
func (s *apiServer) edit(change func(*coordination.Lease)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &coordination.Lease{}
	if s.lease != nil {
		l = s.lease.DeepCopy()
	}
	l.Namespace, l.Name = "podcasts", "feeds"
	change(l)
	s.put(l)
}

func (s *apiServer) read() coordination.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil {
		return coordination.Lease{}
	}
	return *s.lease.DeepCopy()
}

// link is one replica's way to the server, without a network.
type link struct {
	server *apiServer
	fault  func(*http.Request) error // before the server sees the request
	lost   func(*http.Request) error // after it did
}

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.fault != nil {
		if err := l.fault(r); err != nil {
			return nil, err
		}
	}
	w := httptest.NewRecorder()
	l.server.ServeHTTP(w, r)
	if l.lost != nil {
		if err := l.lost(r); err != nil {
			return nil, err
		}
	}
	return w.Result(), nil
}

func candidate(t *testing.T, l *link, o Options) *Leader {
	t.Helper()
	o.Namespace, o.Name = "podcasts", "feeds"
	c, err := New(&rest.Config{Host: "http://kubernetes.test", Transport: l}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
