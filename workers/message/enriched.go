package message

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
)

// outcomes are episode.NodeRun's statuses in a run that ended well.
var outcomes = map[string]eventsv1.EpisodeEnriched_Outcome{
	"ran":     eventsv1.EpisodeEnriched_OUTCOME_RAN,
	"reused":  eventsv1.EpisodeEnriched_OUTCOME_REUSED,
	"skipped": eventsv1.EpisodeEnriched_OUTCOME_SKIPPED,
	"gap":     eventsv1.EpisodeEnriched_OUTCOME_GAP,
}

// EncodeEnriched writes what is announced of a record as an EpisodeEnriched:
// id, revision, generation, the preview's manifest, topics, language, the
// embedding and, of the run, what became of each node and the latency. What
// DecodeEnriched would refuse is a *episode.FieldError.
func EncodeEnriched(r *episode.Record, announced time.Time, e Encoding) ([]byte, error) {
	at, err := timeText("announced", announced)
	if err != nil {
		return nil, err
	}
	m := &eventsv1.EpisodeEnriched{
		Id:         set(string(r.Episode.ID)),
		Revision:   set(int64(r.Episode.Revision)),
		Generation: set(int64(r.Episode.Generation)),
		Announced:  at,
	}
	if r.Preview != nil {
		m.PreviewManifest = set(r.Preview.Manifest)
	}
	for _, t := range r.Topics {
		m.Topics = append(m.Topics, &eventsv1.EpisodeEnriched_Topic{Taxonomy: set(t.Taxonomy), Id: set(t.ID), Name: set(t.Name), Score: set(float64(t.Score))})
	}
	if l := r.Language; l != nil {
		m.Language = &eventsv1.EpisodeEnriched_Language{Code: set(l.Code), Confidence: set(float64(l.Confidence))}
		for _, c := range l.Candidates {
			m.Language.Candidates = append(m.Language.Candidates, &eventsv1.EpisodeEnriched_Language_Candidate{Code: set(c.Code), Confidence: set(float64(c.Confidence))})
		}
	}
	if v := r.Embedding; v != nil {
		m.Embedding = &eventsv1.EpisodeEnriched_Embedding{Model: set(v.Model)}
		for _, c := range v.Values {
			m.Embedding.Values = append(m.Embedding.Values, float32(c))
		}
	}
	if r.Run != nil {
		if m.Nodes, err = nodesTo(r.Run.Nodes); err != nil {
			return nil, err
		}
		l := r.Run.Latency
		m.Latency = &eventsv1.EpisodeEnriched_Latency{
			FirstSeenToPreview: set(float64(l.FirstSeenToPreview)),
			ReceivedToPreview:  set(float64(l.ReceivedToPreview)),
			CriticalPath:       l.CriticalPath,
		}
	}
	if _, _, err := recordOf(m); err != nil {
		return nil, err
	}
	return encode(m, e)
}

func nodesTo(nodes map[string]episode.NodeRun) (all []*eventsv1.EpisodeEnriched_Node, err error) {
	for i, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		outcome, ok := outcomes[n.Status]
		if !ok {
			return nil, &episode.FieldError{Field: fmt.Sprintf("nodes[%d].outcome", i), Problem: fmt.Sprintf("%s: no run that ended well has %q", name, n.Status)}
		}
		all = append(all, &eventsv1.EpisodeEnriched_Node{
			Name:    set(name),
			Outcome: outcome.Enum(),
			Reason:  set(n.Reason),
			Model:   set(n.Model),
			Device:  set(n.Device),
			Started: set(float64(n.Started)),
			Waited:  set(float64(n.Waited)),
			Ran:     set(float64(n.Ran)),
		})
	}
	return all, nil
}

// DecodeEnriched reads an EpisodeEnriched: the part of the record that
// EncodeEnriched tells, and when it was announced. Errors are as
// DecodePublished's.
func DecodeEnriched(b []byte, e Encoding) (r *episode.Record, announced time.Time, err error) {
	m := new(eventsv1.EpisodeEnriched)
	fault := decode(b, e, m)
	r, announced, err = recordOf(m)
	if fault == nil {
		fault = err
	}
	return r, announced, fault
}

// recordOf converts m. Its error is the first field that has no meaning.
func recordOf(m *eventsv1.EpisodeEnriched) (*episode.Record, time.Time, error) {
	var r reader
	rec := &episode.Record{Episode: episode.Episode{
		ID: episode.ID(m.GetId()), Revision: episode.Revision(m.GetRevision()), Generation: episode.Generation(m.GetGeneration()),
	}}
	announced := r.time("announced", m.Announced)
	if m.PreviewManifest != nil {
		rec.Preview = &episode.Preview{Manifest: m.GetPreviewManifest()}
	}
	for _, t := range m.Topics {
		rec.Topics = append(rec.Topics, episode.Topic{Taxonomy: t.GetTaxonomy(), ID: t.GetId(), Name: t.GetName(), Score: episode.Score(t.GetScore())})
	}
	if l := m.Language; l != nil {
		rec.Language = &episode.Language{Code: l.GetCode(), Confidence: episode.Score(l.GetConfidence())}
		for _, c := range l.Candidates {
			rec.Language.Candidates = append(rec.Language.Candidates, episode.LanguageCandidate{Code: c.GetCode(), Confidence: episode.Score(c.GetConfidence())})
		}
	}
	if v := m.Embedding; v != nil {
		rec.Embedding = &episode.Embedding{Model: v.GetModel()}
		for _, c := range v.Values {
			// A record's components have five decimals, which 32 bits hold.
			rec.Embedding.Values = append(rec.Embedding.Values, episode.Component(math.Round(float64(c)*1e5)/1e5))
		}
	}
	if l := m.Latency; l != nil || m.Nodes != nil {
		rec.Run = &episode.Run{
			Nodes: r.nodes(m.Nodes),
			Latency: episode.Latency{
				FirstSeenToPreview: episode.Seconds(l.GetFirstSeenToPreview()),
				ReceivedToPreview:  episode.Seconds(l.GetReceivedToPreview()),
				CriticalPath:       l.GetCriticalPath(),
			},
		}
	}
	if err := rec.Episode.Check(); err != nil {
		return rec, announced, err
	}
	if r.err != nil {
		return rec, announced, r.err
	}
	return rec, announced, nil
}

func (r *reader) nodes(all []*eventsv1.EpisodeEnriched_Node) map[string]episode.NodeRun {
	nodes := make(map[string]episode.NodeRun, len(all))
	for i, n := range all {
		var status string
		for s, o := range outcomes {
			if o == n.GetOutcome() {
				status = s
			}
		}
		_, twice := nodes[n.GetName()]
		switch {
		case n.GetName() == "":
			r.fault(fmt.Sprintf("nodes[%d].name", i), "missing")
		case twice:
			r.fault(fmt.Sprintf("nodes[%d].name", i), "%.60q is there twice", n.GetName())
		case status == "":
			r.fault(fmt.Sprintf("nodes[%d].outcome", i), "%d is none of its values", n.GetOutcome())
		default:
			nodes[n.GetName()] = episode.NodeRun{
				Status:  status,
				Reason:  n.GetReason(),
				Model:   n.GetModel(),
				Device:  n.GetDevice(),
				Started: episode.Seconds(n.GetStarted()),
				Waited:  episode.Seconds(n.GetWaited()),
				Ran:     episode.Seconds(n.GetRan()),
			}
		}
	}
	return nodes
}
