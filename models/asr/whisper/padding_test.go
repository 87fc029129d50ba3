package whisper

import (
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
)

// Every window is 30 s, however little is said in it: its length says so.
func TestAWindowsLengthIsItsAudios(t *testing.T) {
	m := modelstest.Folder(t, "../../parity/tiny-whisper")
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	front := frontOf(t, m)
	for _, seconds := range []float64{0.02, 3, 12.5, 30, 31} {
		it := window(front, make([]float32, int(seconds*sampleRate)))
		if got := r.Length(it); got != min(seconds, windowSeconds) || got > r.Cost(it) || (&BeamRunner{}).Length(it) != got {
			t.Errorf("%v s: length %v of %v", seconds, got, r.Cost(it))
		}
	}
}
