package enrich

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// The graph's inputs: each is the part of an event that some nodes depend on,
// so that a changed title does not fetch the audio again.
const (
	inEnclosure  = "enclosure"
	inAbout      = "about"
	inSoundbites = "soundbites"
	inDeclared   = "declared-language"
	inIdentity   = "identity"
	inCaptions   = "transcripts"
	inChapters   = "chapter-lists"
)

// edition names the first complete download of a revision. The address is not
// part of the key of what was downloaded: signed addresses differ from one
// delivery to the next.
type edition struct {
	ID       episode.ID       `json:"id"`
	Revision episode.Revision `json:"revision"`
}

// linked are documents beside the audio. Another revision may have others at
// the same addresses.
type linked struct {
	Revision episode.Revision `json:"revision"`
	Links    []episode.Link   `json:"links"`
}

// delivery is what nodes know of an event beside the graph's inputs, past the
// keys.
type delivery struct {
	address             string // the enclosure's, for fetch
	firstSeen, received time.Time
}

type deliveryKey struct{}

func withDelivery(ctx context.Context, d delivery) context.Context {
	return context.WithValue(ctx, deliveryKey{}, d)
}

func deliveryOf(ctx context.Context) delivery {
	d, _ := ctx.Value(deliveryKey{}).(delivery)
	return d
}

type about struct {
	Title       string `json:"title"`
	Description string `json:"description"`
}

// identity is the record's head as the event gives it.
type identity episode.Episode

// Enricher takes episodes through the graph.
type Enricher struct {
	engine     *dag.Engine
	graph      *dag.Graph
	generation episode.Generation
	worker     string
	now        func() time.Time
}

// Options are what an Enricher is made of.
type Options struct {
	Spec       *dag.Spec // of a graph in Vocabulary's terms
	Ports      Ports
	Generation episode.Generation
	Identities map[string]string // node -> what its model, engine, device class or codec is: part of its keys
	Store      dag.Store
	Ledger     dag.Ledger       // nil: explain has no memory
	Worker     string           // who runs it, for the audit log
	Scratch    string           // folder for local files; "": the system's
	Now        func() time.Time // nil: time.Now
}

// New builds the graph that the configuration describes.
func New(o Options) (*Enricher, error) {
	g := &nodes{ports: o.Ports, scratch: o.Scratch}
	graph, err := g.build(o.Spec, o.Identities)
	if err != nil {
		return nil, err
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &Enricher{
		engine:     &dag.Engine{Store: o.Store, Ledger: o.Ledger, Now: now},
		graph:      graph,
		generation: o.Generation,
		worker:     o.Worker,
		now:        now,
	}, nil
}

// Result is what became of an event.
type Result struct {
	Record    *episode.Record // nil when the targets did not ask for it, or to a ping
	Report    dag.Report
	Overtaken bool // an effect found a newer version in place
}

// Enrich takes one event through the graph. Its error is a *dag.Failure (Retry
// or Reject), or the context's. The report stands even then. observe, when not
// nil, is told what happens.
func (e *Enricher) Enrich(ctx context.Context, ev episode.Event, observe func(dag.Event)) (Result, error) {
	received := e.now()
	req, err := e.request(ev)
	if err != nil {
		return Result{}, dag.Reject("bad-event", err)
	}
	req.Observe = observe
	report, err := e.engine.Run(withDelivery(ctx, delivery{ev.Enclosure.URL, ev.FirstSeen, received}), e.graph, req)
	res := Result{Report: report}
	if err != nil {
		return res, err
	}
	res.Overtaken = overtaken(report)
	d := report.Decision(nodeRecord)
	if d.Hash == "" || ev.Control.Ping {
		return res, nil
	}
	r, err := e.read(ctx, ev.ID, d.Hash)
	if err != nil {
		return res, dag.Retry(err)
	}
	r.Run = runOf(report, ev.FirstSeen, received)
	res.Record = r
	return res, nil
}

// everyNode, in Control.Force, stands for all of them.
const everyNode = "all"

func (e *Enricher) request(ev episode.Event) (dag.Request, error) {
	req := dag.Request{Subject: string(ev.ID), Targets: ev.Control.Targets, Force: ev.Control.Force, Ping: ev.Control.Ping, By: e.worker}
	if err := ev.Check(); err != nil {
		return req, err
	}
	var names []string
	for _, n := range e.graph.Nodes() {
		names = append(names, n.Name)
	}
	if slices.Contains(req.Force, everyNode) {
		req.Force = names
	}
	for field, asked := range map[string][]string{"control.targets": req.Targets, "control.force": req.Force} {
		for _, name := range asked {
			if !slices.Contains(names, name) {
				return req, &episode.FieldError{Field: field, Problem: fmt.Sprintf("the graph has no node %.60q (has %s)", name, strings.Join(names, ", "))}
			}
		}
	}
	inputs, err := e.inputs(ev)
	req.Inputs = inputs
	return req, err
}

// Forget deletes all that was kept of an episode but the audit log. With
// latest, what the last run that ended used stays.
func (e *Enricher) Forget(ctx context.Context, id episode.ID, latest bool) error {
	return e.engine.Forget(ctx, string(id), latest)
}

func overtaken(report dag.Report) bool {
	return slices.ContainsFunc(report.Decisions, func(d dag.Decision) bool {
		over, _ := d.Detail[noteOvertaken].(bool)
		return over
	})
}

// Last gives the report on the episode's last run, and whether there is one.
func (e *Enricher) Last(ctx context.Context, id episode.ID) (dag.Report, bool, error) {
	return e.engine.Last(ctx, string(id))
}

// Nodes lists the graph's nodes, each after those it needs.
func (e *Enricher) Nodes() []dag.Node { return e.graph.Nodes() }

func (e *Enricher) read(ctx context.Context, id episode.ID, hash string) (*episode.Record, error) {
	b, err := e.engine.Store.Of(string(id)).Open(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	defer b.Close()
	r := new(episode.Record)
	if err := json.NewDecoder(b).Decode(r); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	return r, nil
}

func (e *Enricher) inputs(ev episode.Event) (map[string][]byte, error) {
	in := map[string][]byte{}
	var chapters []episode.Link
	if ev.Chapters != nil {
		chapters = append(chapters, *ev.Chapters)
	}
	for name, v := range map[string]any{
		inEnclosure:  edition{ev.ID, ev.Revision},
		inAbout:      about{strings.TrimSpace(ev.Title), strings.TrimSpace(ev.Description)},
		inSoundbites: nonNil(ev.Soundbites),
		inDeclared:   primary(ev.Language),
		inCaptions:   linked{ev.Revision, nonNil(ev.Transcripts)},
		inChapters:   linked{ev.Revision, nonNil(chapters)},
		inIdentity: identity{
			ID: ev.ID, Podcast: ev.Podcast, Title: ev.Title, Description: ev.Description,
			Revision: ev.Revision, Generation: e.generation, PublishedAt: ev.PublishedAt.UTC(), Explicit: ev.Explicit,
			Enclosure: episode.Enclosure{URL: ev.ShownEnclosure(), Type: ev.Enclosure.Type},
		},
	} {
		b, err := episode.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("event: %s: %w", name, err)
		}
		in[name] = b
	}
	return in, nil
}

// runOf says how the record came about.
func runOf(report dag.Report, firstSeen, received time.Time) *episode.Run {
	run := &episode.Run{Nodes: map[string]episode.NodeRun{}}
	after := map[string]string{}
	for _, d := range report.Decisions {
		n := episode.NodeRun{
			Status:  string(d.Status),
			Key:     d.Key,
			Hash:    d.Hash,
			Started: seconds(d.Queued),
			Ran:     seconds(d.Ran),
		}
		if d.Status != dag.Ran {
			n.Reason = d.Reason
		}
		n.Model, _ = d.Detail[noteModel].(string)
		n.Device, _ = d.Detail[noteDevice].(string)
		n.Items, _ = d.Detail[noteItems].(int)
		if b, ok := d.Detail[noteBatch].(float64); ok {
			n.Batch = episode.Score(b)
		}
		if w, ok := d.Detail[noteWaited].(time.Duration); ok {
			n.Waited = seconds(w)
		}
		run.Nodes[d.Node] = n
		if d.After != "" {
			after[d.Node] = d.After
		}
	}
	for _, v := range report.Visits {
		run.Visits = append(run.Visits, episode.Visit{By: v.By, Began: v.Began, Took: seconds(v.Took), Nodes: v.Ran, Failure: v.Failure})
	}
	publish := report.Decision(nodePublish)
	if publish.Status == dag.Ran && report.Decision(nodePreview).Hash != "" {
		ready := report.Started.Add(publish.Queued + publish.Ran)
		run.Latency.ReceivedToPreview = seconds(ready.Sub(received))
		if firstSeen.IsZero() {
			firstSeen = received
		}
		run.Latency.FirstSeenToPreview = seconds(ready.Sub(firstSeen))
		run.Latency.CriticalPath = criticalPath(after, nodePublish)
	}
	return run
}

// criticalPath follows from a node back to the one that each waited for.
func criticalPath(after map[string]string, last string) []string {
	path := []string{last}
	for n, ok := after[last]; ok; n, ok = after[n] {
		path = append([]string{n}, path...)
	}
	return path
}

func seconds(d time.Duration) episode.Seconds { return episode.Seconds(d.Seconds()) }
