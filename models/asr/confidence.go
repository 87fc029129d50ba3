package asr

import (
	"fmt"
	"math"
)

// Trust turns the evidence for a word into the probability that the word is
// right: a logistic regression (models/train/asr/calibrate.py fits it).
type Trust struct {
	Bias     float64 `yaml:"bias"`
	Phones   float64 `yaml:"phones"`   // of Evidence.Phones
	Grammar  float64 `yaml:"grammar"`  // of Evidence.Grammar
	Length   float64 `yaml:"length"`   // of Evidence.Length
	Company  float64 `yaml:"company"`  // of Evidence.Company
	Likeness float64 `yaml:"likeness"` // of Evidence.Likeness
}

func (t *Trust) check() error {
	for _, weight := range []struct {
		name string
		is   float64
	}{{"bias", t.Bias}, {"phones", t.Phones}, {"grammar", t.Grammar}, {"length", t.Length}, {"company", t.Company}, {"likeness", t.Likeness}} {
		if math.IsNaN(weight.is) || math.IsInf(weight.is, 0) {
			return fmt.Errorf("parameters.confidence.%s: %v must be finite", weight.name, weight.is)
		}
	}
	return nil
}

// confidence is in (0, 1): a word is never certain, nor certainly wrong.
func (t *Trust) confidence(e Evidence) float64 {
	x := t.Bias + t.Phones*e.Phones + t.Grammar*e.Grammar + t.Length*e.Length + t.Company*e.Company + t.Likeness*e.Likeness
	return min(.999, max(.001, 1/(1+math.Exp(-x))))
}

// Evidence is what speaks for a word that was heard.
type Evidence struct {
	Phones   float64 // mean log-probability of its phones, each at its best step
	Grammar  float64 // log-probability that the n-gram model gives it after the words before it
	Length   float64 // log of its number of phones
	Company  float64 // the lower of its neighbours' Phones, 0 without neighbours
	Likeness float64 // mean log-probability of the network's best class over its steps
}

// evidence of the words of one piece. logp: [steps, classes].
func (r *Recognizer) evidence(found []heard, logp []float32, classes int) []Evidence {
	all := make([]Evidence, len(found))
	state := int32(wordStart)
	for i, w := range found {
		var says float32
		says, state = r.search.grammar.score(state, w.word+firstWord)
		e := Evidence{
			Phones:  math.Log(max(w.confidence, 1e-9)),
			Grammar: float64(says),
			Length:  math.Log(float64(r.phones[w.word])),
		}
		for _, k := range []int{i - 1, i + 1} {
			if k >= 0 && k < len(found) {
				e.Company = min(e.Company, math.Log(max(found[k].confidence, 1e-9)))
			}
		}
		for step := w.start; step < w.end; step++ {
			best := logp[int(step)*classes]
			for _, p := range logp[int(step)*classes:][:classes] {
				best = max(best, p)
			}
			e.Likeness += float64(best) / float64(w.end-w.start)
		}
		all[i] = e
	}
	return all
}

// Evidence gives what speaks for each word of Words, for fitting a Trust.
func (r *Recognizer) Evidence(p Posteriors) []Evidence {
	d := r.decoders.Get().(*decoder)
	defer r.decoders.Put(d)
	return r.evidence(d.decode(&r.search, p.LogP, p.Classes), p.LogP, p.Classes)
}
