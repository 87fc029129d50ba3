package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// box is one element of an MP4 file (ISO/IEC 14496-12, 4.2): its kind, and where
// in the file it and its content begin and end.
type box struct {
	kind            string
	start, body, to int
}

// boxes lists the boxes that fill b[from:to].
func boxes(b []byte, from, to int) ([]box, error) {
	var out []box
	for at := from; at < to; {
		if to-at < 8 {
			return nil, fmt.Errorf("mp4: %d stray bytes at %d", to-at, at)
		}
		x := box{kind: string(b[at+4 : at+8]), start: at, body: at + 8}
		size := uint64(binary.BigEndian.Uint32(b[at:]))
		switch size {
		case 0:
			size = uint64(to - at)
		case 1:
			if to-at < 16 {
				return nil, fmt.Errorf("mp4: box %q at %d is cut short", x.kind, at)
			}
			size, x.body = binary.BigEndian.Uint64(b[at+8:]), at+16
		}
		if size < uint64(x.body-at) || size > uint64(to-at) {
			return nil, fmt.Errorf("mp4: box %q at %d has an impossible size of %d bytes", x.kind, at, size)
		}
		x.to = at + int(size)
		out = append(out, x)
		at = x.to
	}
	return out, nil
}

// indexFirst moves the index of an M4A (moov) before its samples (mdat), so that
// playing can begin before all of it has arrived. ffmpeg's own faststart would
// open the file a second time, which a confined child cannot.
func indexFirst(b []byte) ([]byte, error) {
	top, err := boxes(b, 0, len(b))
	if err != nil {
		return nil, err
	}
	var index, samples *box
	for i := range top {
		switch top[i].kind {
		case "moov":
			index = &top[i]
		case "mdat":
			if samples != nil {
				return nil, errors.New("mp4: two boxes of samples")
			}
			samples = &top[i]
		}
	}
	switch {
	case index == nil || samples == nil:
		return nil, errors.New("mp4: no index or no samples")
	case index.start < samples.start:
		return b, nil
	}
	moved := append([]byte(nil), b[index.start:index.to]...)
	if err := shiftOffsets(moved, index.body-index.start, len(moved), uint64(len(moved))); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(b))
	out = append(out, b[:samples.start]...)
	out = append(out, moved...)
	out = append(out, b[samples.start:index.start]...)
	return append(out, b[index.to:]...), nil
}

// shiftOffsets adds by to every chunk offset (stco, co64) below b[from:to].
func shiftOffsets(b []byte, from, to int, by uint64) error {
	inside, err := boxes(b, from, to)
	if err != nil {
		return err
	}
	for _, x := range inside {
		switch x.kind {
		case "trak", "mdia", "minf", "stbl":
			if err := shiftOffsets(b, x.body, x.to, by); err != nil {
				return err
			}
		case "stco", "co64":
			width := map[string]int{"stco": 4, "co64": 8}[x.kind]
			if x.to-x.body < 8 {
				return fmt.Errorf("mp4: box %q is cut short", x.kind)
			}
			count := int(binary.BigEndian.Uint32(b[x.body+4:]))
			if count != (x.to-x.body-8)/width {
				return fmt.Errorf("mp4: box %q states %d offsets and has room for %d", x.kind, count, (x.to-x.body-8)/width)
			}
			for p := x.body + 8; p+width <= x.to; p += width {
				if width == 8 {
					binary.BigEndian.PutUint64(b[p:], binary.BigEndian.Uint64(b[p:])+by)
					continue
				}
				moved := uint64(binary.BigEndian.Uint32(b[p:])) + by
				if moved > math.MaxUint32 {
					return errors.New("mp4: an offset beyond 4 GiB")
				}
				binary.BigEndian.PutUint32(b[p:], uint32(moved))
			}
		}
	}
	return nil
}
