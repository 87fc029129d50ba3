package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/earshot-fm/earshot/dag/enrich"
)

// TestSIGHUPTakesANewVersionBesideTheOld changes a model while an episode is
// under way: it ends with the version that it began with, the next one has the
// new, and the old leaves the device.
func TestSIGHUPTakesANewVersionBesideTheOld(t *testing.T) {
	asked, reloaded := make(chan struct{}), make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("/slow.wav", func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-reloaded
		http.ServeFile(w, r, "../../sample/feed/old-dog.wav")
	})
	mux.HandleFunc("/next.wav", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "../../sample/feed/old-dog.wav")
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	state, config := t.TempDir(), filepath.Join(t.TempDir(), "config.yaml")
	graph := func(generation int, model string) string {
		nodes := strings.ReplaceAll(string(enrich.DefaultGraph), "{model: earshot-sound}", "{model: "+model+"}")
		return fmt.Sprintf("generation: %d\nfetch: {allow_private: [127.0.0.0/8]}\ngraph:\n%s", generation, regexp.MustCompile(`(?m)^`).ReplaceAllString(nodes, "  "))
	}
	write(t, config, graph(1, "earshot-sound@3"))
	if _, errs, code := program(t, "config", "check", config); code != exitOK {
		t.Fatal(errs)
	}
	submit := func(url string) {
		if _, errs, code := program(t, "submit", "--state", state, url); code != exitOK {
			t.Fatal(errs)
		}
	}
	submit(s.URL + "/slow.wav")
	var out bytes.Buffer
	cmd := builtCommand(t, "stream", "-v", "-o", "json", "--config", config, "--state", state)
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	var said []string
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			said = append(said, lines.Text())
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("the worker never said %q:\n%s", text, strings.Join(said, "\n"))
	}
	<-asked
	for _, turn := range []struct{ config, says string }{
		{"generation: nought\n", "all stays as it was"},
		{graph(2, "earshot-sound@3:int8"), "graph and models are those of the configuration now"},
	} {
		write(t, config, turn.config)
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(turn.says)
	}
	submit(s.URL + "/next.wav")
	close(reloaded)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() { // the pipe must not fill
		}
	}()
	for devices := (residents{}); !devices.open("earshot-sound@3:int8") || devices.open("earshot-sound@3"); {
		devices = residents{}
		stdout, stderr, code := program(t, "devices", "-o", "json", "--devices", "cpu", "--state", state)
		if code != exitOK {
			t.Fatal(stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &devices); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{s.URL + "/slow.wav": "earshot-sound@3", s.URL + "/next.wav": "earshot-sound@3:int8"} {
		stdout, stderr, code := program(t, "explain", "-o", "json", "--config", config, "--state", state, url)
		if code != exitOK {
			t.Fatalf("%s: %s", url, stderr)
		}
		if !strings.Contains(stdout, fmt.Sprintf("\"model\": %q", want)) {
			t.Errorf("%s did not run %s:\n%s", url, want, stdout)
		}
	}
}

// residents is what a test reads of devices' JSON.
type residents struct {
	Workers []struct {
		Devices []struct {
			Residents []struct {
				Model string `json:"model"`
				Runs  int    `json:"runs"`
			} `json:"residents"`
		} `json:"devices"`
	} `json:"workers"`
}

// open tells whether the only worker has a model open.
func (r residents) open(model string) bool {
	if len(r.Workers) != 1 {
		return false
	}
	for _, open := range r.Workers[0].Devices[0].Residents {
		if open.Model == model {
			return true
		}
	}
	return false
}
