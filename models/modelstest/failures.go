package modelstest

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
)

// Failures checks that a task hands on why it failed: the error of a tape
// whose decode failed, and that of its context over a sound tape.
func Failures(t testing.TB, sound *audio.Tape, run func(context.Context, audio.Reader) error) {
	t.Helper()
	broken := errors.New("the enclosure ends in the middle")
	tape, err := audio.NewTape(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tape.Close()
	tape.Finish(broken)
	if err := run(t.Context(), tape); !errors.Is(err, broken) {
		t.Errorf("a failed decode gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, sound); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled episode gives %v", err)
	}
}

// NaN checks that a model which gives no numbers is an error of the item: what
// a task would make of them looks like an answer.
func NaN[In, Out any](t testing.TB, q Queue[In, Out], item In) {
	t.Helper()
	lost := models.Sessions{}
	for name, session := range q.Sessions {
		lost[name] = nanSession{session}
	}
	q.Sessions = lost
	if _, err := q.Do(t.Context(), item); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("a model that gives NaN: error %v", err)
	}
}

type nanSession struct{ models.Session }

func (s nanSession) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	outputs, err := s.Session.Run(ctx, inputs)
	for _, t := range outputs {
		if values, ok := t.Elements().([]float32); ok {
			for i := range values {
				values[i] = float32(math.NaN())
			}
		}
	}
	return outputs, err
}

// Mistakes checks that what is wrong with a manifest is named: each change to
// the model that load gives must make use fail with words that are its key.
func Mistakes(t testing.TB, load func(testing.TB) *models.Model, use func(*models.Model) error, changes map[string]func(*models.Model)) {
	t.Helper()
	for want, change := range changes {
		m := load(t)
		change(m)
		if err := use(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// Uses is what Mistakes needs of a family's two constructors.
func Uses[In, Out any, R models.Runner[In, Out], T any](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) func(*models.Model) error {
	return func(m *models.Model) error {
		if _, err := newRunner(m); err != nil {
			return err
		}
		_, err := newTask(m, nil)
		return err
	}
}
