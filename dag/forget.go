package dag

import (
	"context"
	"encoding/json"
	"fmt"
)

// Forget deletes the bytes of all that runs on the subject made, in this graph
// or in others, as far as runs that came to an end tell; and what the last run
// was, but for its visits. Keys stay bound.
func (e *Engine) Forget(ctx context.Context, subject string) error {
	return e.forget(ctx, subject, nil)
}

// ForgetRequest is Forget for the request's subject, and deletes besides what
// runs of this very request made that were killed before they came to an end.
func (e *Engine) ForgetRequest(ctx context.Context, g *Graph, req Request) error {
	req.Ping, req.Force, req.Observe = true, nil, nil
	req.Targets = nil
	for _, n := range g.nodes {
		if !n.Effect {
			req.Targets = append(req.Targets, n.Name)
		}
	}
	rep, err := e.Run(ctx, g, req)
	if err != nil {
		return err
	}
	var made []string
	for _, d := range rep.Decisions {
		if d.Hash != "" {
			made = append(made, d.Hash)
		}
	}
	return e.forget(ctx, req.Subject, made)
}

func (e *Engine) forget(ctx context.Context, subject string, also []string) error {
	var p page
	if e.Ledger != nil {
		doc, err := e.Ledger.Recall(ctx, subject)
		if err != nil {
			return err
		}
		if doc != nil {
			if err := json.Unmarshal(doc, &p); err != nil {
				return fmt.Errorf("ledger: reading the page of %q: %w", subject, err)
			}
		}
	}
	for _, made := range p.Made {
		also = append(also, made...)
	}
	for _, hash := range also {
		if err := e.Store.Delete(ctx, hash); err != nil {
			return fmt.Errorf("forgetting %q: %w", subject, err)
		}
	}
	if e.Ledger == nil || len(p.Made) == 0 && len(p.Known) == 0 {
		return nil
	}
	doc, err := json.Marshal(page{Report: Report{Subject: subject, Visits: p.Report.Visits}, Known: map[string]Decision{}})
	if err != nil {
		return err
	}
	return e.Ledger.Record(ctx, subject, doc)
}
