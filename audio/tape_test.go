package audio

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func newTape(t interface {
	Fatal(...any)
	Cleanup(func())
}, dir string) *Tape {
	tape, err := NewTape(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tape.Close() })
	return tape
}

// ramp is a signal whose every sample tells its position.
func ramp(from, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32((from+i)%8388608) / 8388608
	}
	return out
}

func TestTapeGivesBackWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		tape := newTape(t, dir)
		total := 0
		for range rapid.IntRange(0, 6).Draw(t, "writes") {
			n := rapid.IntRange(0, tapeBlock+100).Draw(t, "samples")
			if err := tape.Write(ramp(total, n)); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		tape.Finish(nil)
		if n, err := tape.Len(context.Background()); int(n) != total || err != nil {
			t.Fatalf("Len = %d, %v; wrote %d", n, err, total)
		}
		for range 8 {
			at := rapid.IntRange(0, total+10).Draw(t, "at")
			dst := make([]float32, rapid.IntRange(0, 2*tapeBlock).Draw(t, "length"))
			n, err := tape.ReadAt(context.Background(), dst, int64(at))
			want := max(0, min(len(dst), total-at))
			if n != want || (err == io.EOF) != (n < len(dst)) || (err != nil && err != io.EOF) {
				t.Fatalf("ReadAt(%d at %d of %d) = %d, %v", len(dst), at, total, n, err)
			}
			for i, x := range ramp(at, n) {
				if dst[i] != x {
					t.Fatalf("sample %d is %v, not %v", at+i, dst[i], x)
				}
			}
		}
	})
}

func TestReadersFollowTheWriter(t *testing.T) {
	tape := newTape(t, t.TempDir())
	const total = 3*tapeBlock + 12345
	var wg sync.WaitGroup
	for r := range 5 {
		wg.Go(func() {
			dst := make([]float32, 1000*(r+1)+r)
			for at := 0; ; {
				n, err := tape.ReadAt(context.Background(), dst, int64(at))
				for i := range n {
					if dst[i] != float32((at+i)%8388608)/8388608 {
						t.Errorf("reader %d: sample %d is wrong", r, at+i)
						return
					}
				}
				at += n
				if err == io.EOF {
					if at != total {
						t.Errorf("reader %d: %d samples of %d", r, at, total)
					}
					return
				}
				if err != nil {
					t.Errorf("reader %d: %v", r, err)
					return
				}
			}
		})
	}
	for at := 0; at < total; at += 7000 {
		if err := tape.Write(ramp(at, min(7000, total-at))); err != nil {
			t.Fatal(err)
		}
	}
	tape.Finish(nil)
	wg.Wait()
}

func TestADecodeThatFailedGivesWhatItHadThenItsError(t *testing.T) {
	tape := newTape(t, t.TempDir())
	broken := errors.New("broken")
	if err := tape.Write(ramp(0, 100)); err != nil {
		t.Fatal(err)
	}
	tape.Finish(broken)
	tape.Finish(nil)
	dst := make([]float32, 60)
	if n, err := tape.ReadAt(context.Background(), dst, 0); n != 60 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := tape.ReadAt(context.Background(), dst, 60); n != 40 || !errors.Is(err, broken) {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := tape.Len(context.Background()); n != 100 || !errors.Is(err, broken) {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestWaitingEndsWithTheContextAndWithClose(t *testing.T) {
	tape := newTape(t, t.TempDir())
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	results := make(chan error, 2)
	go func() {
		_, err := tape.ReadAt(ctx, make([]float32, 10), 0)
		results <- err
	}()
	cancel(stop)
	if err := <-results; !errors.Is(err, stop) {
		t.Fatal(err)
	}
	go func() {
		_, err := tape.Len(context.Background())
		results <- err
	}()
	if err := tape.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-results; !errors.Is(err, ErrTapeClosed) {
		t.Fatal(err)
	}
	if err := tape.Write(ramp(0, 1)); !errors.Is(err, ErrTapeClosed) {
		t.Fatal(err)
	}
}

func TestTapeLeavesNoFileAndLittleMemory(t *testing.T) {
	dir := t.TempDir()
	tape := newTape(t, dir)
	chunk := ramp(0, 16000)
	for range 200 { // more than eight blocks
		if err := tape.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if cap(tape.tail) != tapeBlock {
		t.Errorf("%d samples in memory, want %d", cap(tape.tail), tapeBlock)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files with names while the tape is open: %v, %v", left, err)
	}
	if err := tape.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tape.Close(); err != nil {
		t.Fatalf("a second Close: %v", err)
	}
}

func TestTapeRefusesAFolderThatIsNotThere(t *testing.T) {
	if _, err := NewTape(t.TempDir() + "/missing"); err == nil {
		t.Fatal("no error")
	}
}
