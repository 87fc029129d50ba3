package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestSIGTERMDrains sends the signal while an enclosure is being fetched: the
// episode is finished and acknowledged, and the program ends without an error.
func TestSIGTERMDrains(t *testing.T) {
	asked, signalled := make(chan struct{}), make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("/old-dog.wav", func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-signalled
		http.ServeFile(w, r, "../../sample/feed/old-dog.wav")
	})
	mux.HandleFunc("/one.xml", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<rss version="2.0"><channel><title>One</title><item><title>Dog</title><guid>dog</guid>
<enclosure url="http://%s/old-dog.wav" length="1" type="audio/wav"/></item></channel></rss>`, r.Host)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "fetch: {allow_private: [127.0.0.0/8]}\n")
	var out, errs bytes.Buffer
	cmd := builtCommand(t, "stream", "-o", "json", "--config", config, "--state", t.TempDir(), "--feed", s.URL+"/one.xml")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	close(signalled)
	if err := cmd.Wait(); err != nil || strings.Count(out.String(), `"outcome":"enriched"`) != 1 {
		t.Errorf("%v\n%s%s", err, out.String(), errs.String())
	}
}
