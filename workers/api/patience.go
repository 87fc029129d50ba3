package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// response gives a client a set time to take each piece of the answer, however
// long the whole lasts, so that one that reads nothing holds no place for ever.
type response struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	streams  bool // HTTP/2
	status   int
}

func patient(w http.ResponseWriter, r *http.Request, patience time.Duration) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), patience: patience, streams: r.ProtoMajor > 1}
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	defer w.within()()
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (w *response) Flush() {
	defer w.within()()
	_ = w.control.Flush() // the next write says what is wrong
}

// within sets the deadline, and returns what takes it away. HTTP/2 ends a stream
// whose deadline passes although nobody writes; HTTP/1 does not, and writes the
// rest when the handler has returned.
func (w *response) within() (done func()) {
	// Both have deadlines; a connection that is gone needs none.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.patience))
	return func() {
		if w.streams {
			_ = w.control.SetWriteDeadline(time.Time{})
		}
	}
}

// receive gives the client the same time to send its request. The server's own
// limit for that would go on counting while a stream is answered.
func (w *response) receive(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	_ = w.control.SetReadDeadline(time.Now().Add(w.patience))
	return &arriving{body, w.control}
}

type arriving struct {
	io.ReadCloser
	control *http.ResponseController
}

func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		_ = a.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
