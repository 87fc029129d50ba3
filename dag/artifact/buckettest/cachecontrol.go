package buckettest

import "net/http"

// kept is the header under which the S3 store, which forgets Cache-Control,
// keeps it: metadata, which it gives back.
const kept = "X-Amz-Meta-Cache-Control"

// cacheControl makes the S3 store keep Cache-Control as S3 does.
func cacheControl(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			// Even where there is none, or that of the object before would stay.
			r.Header.Set(kept, r.Header.Get("Cache-Control"))
		}
		answer := &restoring{ResponseWriter: w}
		store.ServeHTTP(answer, r)
		answer.restore() // that of a HEAD request is not written to
	})
}

type restoring struct {
	http.ResponseWriter
	begun bool
}

func (w *restoring) restore() {
	if value := w.Header().Get(kept); value != "" && !w.begun {
		w.Header().Set("Cache-Control", value)
		w.Header().Del(kept)
	}
	w.begun = true
}

func (w *restoring) WriteHeader(status int) {
	w.restore()
	w.ResponseWriter.WriteHeader(status)
}

func (w *restoring) Write(p []byte) (int, error) {
	w.restore()
	return w.ResponseWriter.Write(p)
}
