package dag

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Engine runs graphs against a store. Its fields are set before the first run;
// it may run any number of requests at once.
type Engine struct {
	Store  Store
	Ledger Ledger           // nil: decisions cannot say what changed since the last run
	Now    func() time.Time // nil: time.Now
}

// Request is what is asked of a graph for one subject.
type Request struct {
	// Subject names what the inputs are about; the ledger keeps one document
	// for each.
	Subject string

	// Inputs are the bytes of each of the graph's inputs.
	Inputs map[string][]byte

	// Targets are the nodes that are wanted; what they need runs if they need
	// it, and nothing else does. Nil means every node that is not OnDemand;
	// empty means none.
	Targets []string

	// Force names nodes that run, if they are wanted, although their result is
	// stored; what they make replaces it.
	Force []string

	// Ping asks what would run, and runs nothing.
	Ping bool

	// Observe, when set, is told what happens, one event at a time. The run
	// waits for it.
	Observe func(Event)

	// By names who runs this, for the visits of the report.
	By string
}

// Report is what became of a request.
type Report struct {
	Subject   string        `json:"subject"`
	Ping      bool          `json:"ping,omitempty"`
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took"`
	Decisions []Decision    `json:"decisions"` // one a node, each after those it needs

	// Visits are the runs on the subject that came to an end, the latest last and
	// this one among them; the oldest of very many are left out.
	Visits []Visit `json:"visits,omitempty"`
}

// Visit is one run in a subject's history.
type Visit struct {
	By      string        `json:"by,omitempty"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took"`
	Ran     []string      `json:"ran"`               // the nodes that ran, each after those it needs
	Failure string        `json:"failure,omitempty"` // what ended it before its time
}

// The most that a subject's document tells of the past.
const (
	maxVisits  = 50
	maxHashes  = 32  // of a node
	maxFailure = 300 // bytes of a visit's failure
)

// Decision is what became of one node, and why.
type Decision struct {
	Node    string            `json:"node"`
	Status  Status            `json:"status"`
	Reason  string            `json:"reason"`
	Version string            `json:"version,omitempty"`
	Key     string            `json:"key,omitempty"`    // "" when what decides it is not known
	Needs   map[string]string `json:"needs,omitempty"`  // what each need added to the key
	Hash    string            `json:"hash,omitempty"`   // of the artifact
	Queued  time.Duration     `json:"queued,omitempty"` // from the start of the run to the node's
	Ran     time.Duration     `json:"ran,omitempty"`    // from the node's start until its result was stored
	After   string            `json:"after,omitempty"`  // of the needs made in this run, the one that was ready last
	Detail  map[string]any    `json:"detail,omitempty"` // what the node noted
}

// Status is what became of a node in a run.
type Status string

const (
	Ran      Status = "ran"
	Reused   Status = "reused"    // its result was stored
	Skipped  Status = "skipped"   // not wanted, or the run ended first
	Gapped   Status = "gap"       // it has no result
	Failed   Status = "failed"    // it ended the run
	WouldRun Status = "would-run" // to a ping
	MayRun   Status = "may-run"   // to a ping: it depends on what those that would run make
)

// Decision gives the decision on a node; its Node is "" if there is none.
func (r *Report) Decision(node string) Decision {
	for _, d := range r.Decisions {
		if d.Node == node {
			return d
		}
	}
	return Decision{}
}

// Event is one thing that happened in a run.
type Event struct {
	Node  string
	Kind  EventKind
	Done  float64 // with Progressed, in the node's own unit
	Total float64 // with Progressed; 0 while not known
	Err   error   // with Stopped: what the node gave, a gap included; nil if it ended well
}

// EventKind says what an Event tells.
type EventKind string

const (
	Started    EventKind = "started"
	Published  EventKind = "published" // the node's live value can be used
	Progressed EventKind = "progressed"
	Stopped    EventKind = "stopped" // the node has failed, or ended and what it made is stored
)

// Run does what the request asks for. It returns when every goroutine it
// started has ended.
//
// The error is a *Failure when a node's Retry or Reject ended the run, or when
// the store failed (a Retry); the context's error when that ended; otherwise
// the request does not fit the graph. The report stands in each case but the
// last.
func (e *Engine) Run(ctx context.Context, g *Graph, req Request) (Report, error) {
	r, err := newRun(e, g, req)
	if err != nil {
		return Report{}, err
	}
	if err := r.recall(ctx); err != nil {
		return r.report(), err
	}
	runErr := r.loop(ctx)
	report := r.report()
	if !req.Ping && ctx.Err() == nil {
		report.Visits = append(r.page.Report.Visits, visit(req.By, report, runErr))
		report.Visits = report.Visits[max(0, len(report.Visits)-maxVisits):]
		if err := r.record(ctx, report); err != nil && runErr == nil {
			runErr = err
		}
	}
	return report, runErr
}

func visit(by string, report Report, err error) Visit {
	v := Visit{By: by, Began: report.Started.UTC(), Took: report.Took, Ran: []string{}}
	for _, d := range report.Decisions {
		if d.Status == Ran {
			v.Ran = append(v.Ran, d.Node)
		}
	}
	if err != nil {
		v.Failure = strings.ToValidUTF8(err.Error()[:min(len(err.Error()), maxFailure)], "")
	}
	return v
}

// Last gives the report on the subject's last run that ended, and whether
// there is one.
func (e *Engine) Last(ctx context.Context, subject string) (Report, bool, error) {
	if e.Ledger == nil {
		return Report{}, false, nil
	}
	doc, err := e.Ledger.Recall(ctx, subject)
	if err != nil || doc == nil {
		return Report{}, false, err
	}
	var p page
	if err := json.Unmarshal(doc, &p); err != nil {
		return Report{}, false, fmt.Errorf("ledger: reading the page of %q: %w", subject, err)
	}
	return p.Report, len(p.Report.Decisions) > 0, nil // none: it was forgotten
}

// page is a subject's document in the ledger.
type page struct {
	Report Report              `json:"report"`
	Known  map[string]Decision `json:"known"` // the last decision on each node that had a key
	Made   map[string][]string `json:"made"`  // by node, the hashes of what it made last, the latest last
}

// Made reads a subject's document in the ledger, and gives for each node the
// hashes of what it made in the last runs that came to an end.
func Made(doc []byte) (hashes map[string][]string, err error) {
	p, err := readPage(doc)
	return p.Made, err
}

// Known reads the same, and gives the subject, and the last decision on each
// node that had a key.
func Known(doc []byte) (subject string, decisions map[string]Decision, err error) {
	p, err := readPage(doc)
	return p.Report.Subject, p.Known, err
}

func readPage(doc []byte) (p page, err error) {
	if err := json.Unmarshal(doc, &p); err != nil {
		return p, fmt.Errorf("ledger: reading a page: %w", err)
	}
	return p, nil
}

func (r *run) recall(ctx context.Context) error {
	if r.engine.Ledger == nil {
		return nil
	}
	doc, err := r.engine.Ledger.Recall(ctx, r.req.Subject)
	if err != nil {
		return &Failure{Kind: KindRetry, Reason: "recalling the last run", Err: err}
	}
	// A page that cannot be read is as good as none: it only serves reasons.
	var p page
	if json.Unmarshal(doc, &p) == nil {
		r.page = p
	}
	return nil
}

func (r *run) record(ctx context.Context, report Report) error {
	if r.engine.Ledger == nil {
		return nil
	}
	p := page{Report: report, Known: r.page.Known, Made: r.page.Made}
	if p.Known == nil {
		p.Known = map[string]Decision{}
	}
	if p.Made == nil {
		p.Made = map[string][]string{}
	}
	for _, d := range report.Decisions {
		switch d.Status {
		case Ran, Reused, Gapped:
			p.Known[d.Node] = d
		}
		if made := p.Made[d.Node]; d.Hash != "" && !slices.Contains(made, d.Hash) {
			made = append(made, d.Hash)
			p.Made[d.Node] = made[max(0, len(made)-maxHashes):]
		}
	}
	doc, err := json.Marshal(p)
	if err == nil {
		err = r.engine.Ledger.Record(ctx, r.req.Subject, doc)
	}
	if err != nil {
		return &Failure{Kind: KindRetry, Reason: "recording the run", Err: err}
	}
	return nil
}

func newRun(e *Engine, g *Graph, req Request) (*run, error) {
	var faults faults
	for _, name := range g.inputs {
		if _, ok := req.Inputs[name]; !ok {
			faults.add("request: no input %q", name)
		}
	}
	for _, name := range sortedKeys(req.Inputs) {
		if !slices.Contains(g.inputs, name) {
			faults.add("request: inputs.%s: the graph has no such input (%s)", name, has(g.inputs))
		}
	}
	r := &run{
		engine:  e,
		store:   e.Store.Of(req.Subject),
		graph:   g,
		req:     req,
		now:     e.Now,
		facts:   make([]facts, len(g.nodes)),
		targets: make([]bool, len(g.nodes)),
		forced:  make([]bool, len(g.nodes)),
		inputs:  map[string]string{},
		calls:   make(chan func()),
		ended:   make(chan struct{}),
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.started = r.now()
	mark := func(field string, names []string, set []bool) {
		for _, name := range names {
			if i, ok := g.index[name]; ok {
				set[i] = true
				continue
			}
			faults.add("request: %s: no node %q (%s)", field, name, has(sortedKeys(g.index)))
		}
	}
	mark("targets", req.Targets, r.targets)
	mark("force", req.Force, r.forced)
	if req.Targets == nil {
		for i, n := range g.nodes {
			r.targets[i] = !n.OnDemand
		}
	}
	for name, data := range req.Inputs {
		r.inputs[name] = hashOf(data)
	}
	return r, faults.err()
}

// hashOf gives the SHA-256 of the bytes in hexadecimal.
func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
