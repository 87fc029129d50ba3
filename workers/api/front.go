package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
)

// front is what each request meets first.
type front struct {
	*Server
	local  bool // only programs of this machine can reach the listener
	unix   bool // by a path, not an address
	errors *connect.ErrorWriter
	pages  *http.CrossOriginProtection
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began, k := time.Now(), kindOf(r.URL.Path)
	c, out := new(call), patient(w, r, f.options.Patience)
	defer func() { f.record(r, k, c, out.status, time.Since(began)) }()
	refuse := func(err *connect.Error) {
		c.code = err.Code().String()
		// The client may be gone; there is nobody else to tell.
		_ = f.errors.Write(out, r, err)
	}
	place := f.places.of(k)
	select {
	case place <- struct{}{}:
		defer func() { <-place }()
	default:
		refuse(later(connect.CodeResourceExhausted, "too many calls at once; try again"))
		return
	}
	body := out.receive(r.Body)
	if err := f.admit(r, k, c); err != nil {
		if err.Code() == connect.CodeUnauthenticated {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		c.refused = err.Message()
		refuse(err)
		return
	}
	ctx := context.WithValue(r.Context(), callKey{}, c)
	if k != watching {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.options.Timeout)
		defer cancel()
	}
	// A copy: what the server sees in its own request's body decides whether the
	// connection can serve another.
	admitted := r.WithContext(ctx)
	admitted.Body = body
	f.mux.ServeHTTP(out, admitted)
}

// kind is what a call asks for, as far as it matters to who may call and how
// many at once.
type kind int

const (
	reading kind = iota
	writing
	watching
	probing // health
)

func kindOf(procedure string) kind {
	switch {
	case procedure == apiv1connect.EarshotSubmitProcedure, procedure == apiv1connect.EarshotRemoveProcedure:
		return writing
	case procedure == apiv1connect.EarshotWatchProcedure:
		return watching
	case strings.HasPrefix(procedure, "/"+grpchealth.HealthV1ServiceName+"/"):
		return probing
	default:
		return reading
	}
}

// places bound how much is under way. Health has its own, so that a busy server
// is not taken for a dead one.
type places struct{ calls, watches, health chan struct{} }

const healthPlaces = 64

func of(n int) chan struct{} { return make(chan struct{}, n) }

func (p *places) of(k kind) chan struct{} {
	switch k {
	case watching:
		return p.watches
	case probing:
		return p.health
	default:
		return p.calls
	}
}

// takeAll waits until nothing is under way, and keeps it so.
func (p *places) takeAll() {
	for _, c := range []chan struct{}{p.calls, p.watches, p.health} {
		for range cap(c) {
			c <- struct{}{}
		}
	}
}
