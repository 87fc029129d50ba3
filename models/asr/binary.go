package asr

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// reader takes a little-endian file apart; after the first thing that is
// missing it gives only zeros, and end says what was wrong.
type reader struct {
	rest []byte
	err  error
}

func newReader(b []byte, magic string) (*reader, error) {
	if len(b) < len(magic)+4 || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%d bytes that do not begin with %q: not this kind of file, or of another version", len(b), magic)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.ChecksumIEEE(body); got != sum {
		return nil, fmt.Errorf("the file is damaged: CRC-32 %08x, want %08x", got, sum)
	}
	return &reader{rest: body[len(magic):]}, nil
}

// bytes takes n bytes; they share the file's memory.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("the file ends %d bytes too early", n-len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint32() uint32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// count takes a number of things of at least one byte each.
func (r *reader) count() int {
	n := r.uint32()
	if r.err == nil && uint64(n) > uint64(len(r.rest)) {
		r.err = fmt.Errorf("%d things are announced, %d bytes are left", n, len(r.rest))
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *reader) uint16s(n int) []uint16 {
	b := r.bytes(2 * n)
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return out
}

func (r *reader) uint32s(n int) []uint32 {
	b := r.bytes(4 * n)
	out := make([]uint32, len(b)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}

func (r *reader) float32s(n int) []float32 {
	out := make([]float32, n)
	for i, v := range r.uint32s(n) {
		out[i] = math.Float32frombits(v)
	}
	return out
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return r.err
}

// uvarints takes n numbers of seven bits a byte.
func (r *reader) uvarints(n int) []uint32 {
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("%d numbers are announced, %d bytes are left", n, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	out := make([]uint32, n)
	for i := range out {
		v, size := binary.Uvarint(r.rest)
		if size <= 0 || v > math.MaxUint32 {
			r.err = fmt.Errorf("a number is damaged, %d bytes before the end", len(r.rest))
			return nil
		}
		out[i], r.rest = uint32(v), r.rest[size:]
	}
	return out
}
