package dag

import (
	"context"
	"encoding/json"
)

// Forget deletes all that was ever made for the subject, by runs that ended or
// were killed, in this graph or in others, and what the last run was, but for
// its visits. With latest, what the last run that ended used is kept: only what
// was made before or beside it goes.
func (e *Engine) Forget(ctx context.Context, subject string, latest bool) error {
	var p page
	if e.Ledger != nil {
		doc, err := e.Ledger.Recall(ctx, subject)
		if err == nil && doc != nil {
			p, err = readPage(doc)
		}
		if err != nil {
			return err
		}
	}
	var keep []string
	if latest {
		for _, d := range p.Known {
			if d.Hash != "" {
				keep = append(keep, d.Hash)
			}
		}
	}
	if err := e.Store.Of(subject).Clear(ctx, keep); err != nil {
		return err
	}
	if latest || e.Ledger == nil || len(p.Known) == 0 {
		return nil
	}
	doc, err := json.Marshal(page{Report: Report{Subject: subject, Visits: p.Report.Visits}})
	if err != nil {
		return err
	}
	return e.Ledger.Record(ctx, subject, doc)
}
