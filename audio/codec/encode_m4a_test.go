package codec

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestM4AHasItsIndexBeforeItsSamples(t *testing.T) {
	e := newTestEncoder(t)
	renditions, err := e.Ladder(t.Context(), talk(44100, 2, 2, 0.5), LadderOptions{Rungs: []Rung{{AAC, 96}}})
	if err != nil {
		t.Fatal(err)
	}
	top, err := boxes(renditions[0].Bytes, 0, len(renditions[0].Bytes))
	if err != nil {
		t.Fatal(err)
	}
	order := map[string]int{}
	for i, b := range top {
		order[b.kind] = i
	}
	if order["ftyp"] != 0 || order["moov"] == 0 || order["mdat"] < order["moov"] {
		t.Errorf("the order of the boxes is %v", order)
	}
}

func TestMovingTheIndexChangesNoSample(t *testing.T) {
	e := newTestEncoder(t)
	path := filepath.Join(t.TempDir(), "last.m4a")
	sound := talk(44100, 1, 2, 0.5)
	if err := runEncoder(t.Context(), e.decoder.ffmpeg, floatBytes(sound.Samples), 44100, 1, Rung{AAC, 96}, path); err != nil {
		t.Fatal(err)
	}
	last, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := indexFirst(last)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, last) || len(first) != len(last) {
		t.Fatalf("the index was not moved: %d bytes, then %d", len(last), len(first))
	}
	before, after := play(t, e, Rendition{Container: "m4a", Bytes: last}), play(t, e, Rendition{Container: "m4a", Bytes: first})
	if !bytes.Equal(floatBytes(before.Samples), floatBytes(after.Samples)) {
		t.Error("it does not sound the same")
	}
	if again, err := indexFirst(first); err != nil || !bytes.Equal(again, first) {
		t.Errorf("a file in order was changed (%v)", err)
	}
}

func mp4Box(kind string, content ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(content)))
	return append(append(b, kind...), content...)
}

func FuzzIndexFirst(f *testing.F) {
	offsets := mp4Box("stco", 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 16)
	moov := mp4Box("moov", mp4Box("trak", mp4Box("mdia", mp4Box("minf", mp4Box("stbl", offsets...)...)...)...)...)
	f.Add(bytes.Join([][]byte{mp4Box("ftyp"), mp4Box("mdat", 1, 2, 3), moov}, nil))
	f.Add(bytes.Join([][]byte{moov, mp4Box("mdat", 1)}, nil))
	f.Add([]byte("\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00moov"))
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		out, err := indexFirst(b)
		if !bytes.Equal(given, b) {
			t.Fatal("the file given was changed")
		}
		if err == nil && len(out) != len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(out))
		}
	})
}
