package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

type leaseObject = coordination.Lease

func microTime(t time.Time) *meta.MicroTime { return &meta.MicroTime{Time: t.UTC()} }

// api is Kubernetes' interface to one Lease. The generated clients would bring
// the types of all of Kubernetes with them, 26 MB of them; three requests do
// not need that.
type api struct {
	client *http.Client
	all    string // URL of the namespace's leases
	one    string
}

func newAPI(config *rest.Config, namespace, name string) (*api, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("lease: how to reach Kubernetes: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("lease: how to reach Kubernetes: %w", err)
	}
	all := base.JoinPath("apis", "coordination.k8s.io", "v1", "namespaces", url.PathEscape(namespace), "leases")
	return &api{client: client, all: all.String(), one: all.JoinPath(url.PathEscape(name)).String()}, nil
}

// statusError is an answer of Kubernetes that is no success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("Kubernetes answered %d %s", e.code, http.StatusText(e.code))
	}
	return "Kubernetes answered: " + e.message
}

// is says whether Kubernetes answered with that code.
func is(err error, code int) bool {
	status, ok := errors.AsType[*statusError](err)
	return ok && status.code == code
}

func (a *api) get(ctx context.Context) (*leaseObject, error) {
	return a.do(ctx, http.MethodGet, a.one, nil)
}

func (a *api) create(ctx context.Context, l *leaseObject) (*leaseObject, error) {
	return a.do(ctx, http.MethodPost, a.all, l)
}

// update fails with 409 when the Lease is not the version that l says.
func (a *api) update(ctx context.Context, l *leaseObject) (*leaseObject, error) {
	return a.do(ctx, http.MethodPut, a.one, l)
}

// maxAnswer bounds an answer, in bytes: a Lease has some hundred.
const maxAnswer = 1 << 20

func (a *api) do(ctx context.Context, method, address string, body *leaseObject) (l *leaseObject, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s the lease: %w", method, err)
		}
	}()
	var sent io.Reader
	if body != nil {
		body.APIVersion, body.Kind = "coordination.k8s.io/v1", "Lease"
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		var status meta.Status
		_ = json.Unmarshal(answer, &status) // without one the code says it
		return nil, &statusError{response.StatusCode, status.Message}
	}
	l = new(leaseObject)
	if err := json.Unmarshal(answer, l); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if l.ResourceVersion == "" {
		return nil, errors.New("the answer is no Lease: it has no resourceVersion")
	}
	return l, nil
}
