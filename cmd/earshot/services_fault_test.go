package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// The ways in which a service over HTTP fails.

// cut ends the connection without an answer.
func cut(http.Handler, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func status(code int) fault {
	return func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
		w.WriteHeader(code)
	}
}

// hang answers when the client has given up.
func hang(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// slow answers late, and byte by byte at first.
func slow(service http.Handler, w http.ResponseWriter, r *http.Request) {
	after(100 * time.Millisecond)
	service.ServeHTTP(w, r)
}

// truncated does what is asked, and cuts the answer in its middle.
func truncated(service http.Handler, w http.ResponseWriter, r *http.Request) {
	recorded := httptest.NewRecorder()
	service.ServeHTTP(recorded, r)
	body := recorded.Body.Bytes()
	for name, values := range recorded.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if len(body) > 0 {
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body[:len(body)/2])
	}
	panic(http.ErrAbortHandler)
}

// halved takes half of what is sent, and goes.
func halved(_ http.Handler, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(&bytes.Buffer{}, r.Body, r.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// sometimes fails one request of n in one of these ways.
func sometimes(n int, ways ...fault) fault {
	d := &dice{r: random()}
	return func(service http.Handler, w http.ResponseWriter, r *http.Request) {
		if d.roll(n) > 0 {
			service.ServeHTTP(w, r)
			return
		}
		ways[d.roll(len(ways))](service, w, r)
	}
}

// away lets two workers begin, takes a service away until verdicts show it, and
// for the outage's time from then, in each of the ways.
func away(t *testing.T, c *crew, events []episode.Event, fronts []*front, ways ...fault) {
	c.hire(stateFolder(t))
	c.hire(stateFolder(t))
	for i, way := range ways {
		mine := events[i*len(events)/len(ways) : (i+1)*len(events)/len(ways)]
		if len(mine) == 0 {
			t.Fatalf("%d episodes are too few for %d faults", len(events), len(ways))
		}
		for _, f := range fronts {
			f.set(way)
		}
		before := 0
		c.until("the start", func() bool { before = c.failed; return true })
		c.site.publish(t, mine...)
		c.until("work fails", func() bool { return c.failed > before })
		after(*faultOutage)
		for _, f := range fronts {
			f.clear()
		}
		c.untilDone(1, mine...)
	}
}

func elasticsearchAway(t *testing.T, c *crew, events []episode.Event) {
	away(t, c, events, []*front{&c.site.es}, cut, status(http.StatusServiceUnavailable), hang)
}

func elasticsearchFailing(t *testing.T, c *crew, events []episode.Event) {
	c.site.es.set(sometimes(3, cut, status(http.StatusTooManyRequests), status(http.StatusBadGateway), slow, truncated, halved))
	c.hire(stateFolder(t))
	c.hire(stateFolder(t))
	c.site.publish(t, events...)
	c.untilDone(1, events...)
	c.site.es.clear()
}

func storesAway(t *testing.T, c *crew, events []episode.Event) {
	away(t, c, events, []*front{&c.site.artifactsFront, &c.site.originFront}, cut, status(http.StatusServiceUnavailable))
}

func storesFailing(t *testing.T, c *crew, events []episode.Event) {
	ways := []fault{status(http.StatusServiceUnavailable), slow, truncated, halved, cut}
	c.site.artifactsFront.set(sometimes(40, ways...))
	c.site.originFront.set(sometimes(8, ways...))
	c.hire(stateFolder(t))
	c.hire(stateFolder(t))
	c.site.publish(t, events...)
	c.untilDone(1, events...)
	c.site.artifactsFront.clear()
	c.site.originFront.clear()
}
