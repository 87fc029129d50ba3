package enclosure

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/earshot-fm/earshot/audio"
)

// Damaged is the code of a document whose compression is broken or cut short.
const Damaged = "document-damaged"

// deepest bounds compressions within one another: a .gz file that a server
// compresses once more.
const deepest = 3

// Decompress undoes what a server's Content-Encoding says it did to a body (RFC
// 9110, 8.4.1: gzip, deflate, identity, in the order they were applied), and
// gzip that the body turns out to be, whatever the server calls it. An encoding
// that the body does not have is passed over: servers send the header for files
// that they do not compress. What is more than limit bytes, damaged, or in
// another encoding is an *audio.Rejection.
func Decompress(body []byte, encoding string, limit int64) ([]byte, error) {
	names := strings.Split(encoding, ",")
	if len(names) > deepest {
		return nil, &audio.Rejection{Code: Encoded, Detail: fmt.Sprintf("enclosure: the document is compressed %d times", len(names))}
	}
	for i := len(names) - 1; i >= 0; i-- {
		var err error
		switch name := strings.ToLower(strings.TrimSpace(names[i])); name {
		case "", "identity", "gzip", "x-gzip": // gzip says itself that it is
		case "deflate":
			body, err = inflate(body, limit)
		default:
			err = &audio.Rejection{Code: Encoded, Detail: fmt.Sprintf("enclosure: the document is compressed with %.20q, and gzip and deflate can be read", name)}
		}
		if err == nil {
			body, err = gunzip(body, limit)
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

func gunzip(body []byte, limit int64) ([]byte, error) {
	for range deepest {
		if !bytes.HasPrefix(body, []byte{0x1f, 0x8b, 8}) {
			return body, nil
		}
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, damaged(err)
		}
		if body, err = bounded(r, limit); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// inflate reads deflate in zlib's frame, as the RFC has it, or bare, as some
// servers do.
func inflate(body []byte, limit int64) ([]byte, error) {
	if r, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
		return bounded(r, limit)
	}
	out, err := bounded(flate.NewReader(bytes.NewReader(body)), limit)
	if r, ok := errors.AsType[*audio.Rejection](err); ok && r.Code == Damaged {
		return body, nil // a bare frame has no mark: it is none, most likely
	}
	return out, err
}

func bounded(r io.Reader, limit int64) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(out)) > limit {
		return nil, &audio.Rejection{Code: TooLarge, Detail: fmt.Sprintf("enclosure: the document is larger than %d bytes when it is unpacked", limit)}
	}
	if err != nil {
		return nil, damaged(err)
	}
	return out, nil
}

func damaged(err error) error {
	detail := "enclosure: the document's compression is damaged: "
	if errors.Is(err, io.ErrUnexpectedEOF) {
		detail = "enclosure: the compressed document is cut short: "
	}
	return &audio.Rejection{Code: Damaged, Detail: detail + err.Error()}
}
