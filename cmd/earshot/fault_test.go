package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/workers"
)

// one delivers an event once, and keeps the verdict.
type one struct{ verdict workers.Verdict }

func (s *one) Receive(ctx context.Context, _ int, handle workers.Handler) error {
	e := episode.Event{ID: "e", Revision: 1, Enclosure: episode.Enclosure{URL: "https://example.org/e.mp3"}}
	s.verdict = handle(ctx, workers.Delivery{Event: e, Attempt: 1})
	return nil
}

type noLetters struct{}

func (noLetters) File(context.Context, workers.DeadLetter) error {
	return errors.New("nothing is to be filed")
}

// A device that is lost to the process is nobody's failure: the delivery goes
// back uncounted, and the process ends with the code that asks for another.
func TestALostDeviceHandsTheDeliveryBackAndEndsTheProcess(t *testing.T) {
	lost := fmt.Errorf("transcript: gpu: CUDA failure 700: %w", models.ErrDeviceLost)
	w := workers.New(func(context.Context, workers.Delivery) (workers.Outcome, error) {
		return "", verdictError(lost)
	}, noLetters{}, workers.Options{Grace: time.Second})
	source := &one{}
	err := w.Run(t.Context(), workers.Lane{Name: "live", Source: source, Slots: 1})
	if source.verdict.Kind != workers.Release || !errors.Is(err, models.ErrDeviceLost) {
		t.Errorf("verdict %v, Run: %v", source.verdict, err)
	}
	if code := exitCode(t.Context(), err); code != exitLostDevice {
		t.Errorf("exit code %d", code)
	}
}
