package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The real program answers the API: what is submitted is enriched by a worker of
// the same state, found, and taken down; a token that is added counts from SIGHUP
// on; SIGTERM ends it.
func TestTheAPIOfTheRealProgram(t *testing.T) {
	state, tokens := t.TempDir(), filepath.Join(t.TempDir(), "tokens")
	write(t, tokens, "editor:write:abcdefghijklmnopqrstuvwxyz\n")
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "api: {tokens: "+tokens+"}\n")
	server := builtCommand(t, "api", "--listen", "127.0.0.1:0", "--state", state, "--config", config)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + strings.TrimSpace(strings.TrimPrefix(line, "answering at "))
	ask := func(token, method, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/earshot.api.v1.Earshot/"+method, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const editor, reader = "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba"
	if code, body := ask(editor, "Submit", `{"event": {"id": "e1", "title": "The final", "enclosure": {"url": "https://cdn.example.org/final.mp3"}}}`); code != http.StatusOK {
		t.Fatalf("Submit: %d %s", code, body)
	}
	if code, body := ask(reader, "Search", `{}`); code != http.StatusUnauthorized {
		t.Errorf("an unknown token: %d %s", code, body)
	}
	work := func() {
		t.Helper()
		if out, errs, code := program(t, "stream", "--state", state, "--stand-in", "3ms", "--until-empty"); code != exitOK {
			t.Fatalf("stream: exit code %d\n%s%s", code, out, errs)
		}
	}
	work()
	if code, body := ask(editor, "Search", `{"text": "final"}`); code != http.StatusOK || !strings.Contains(body, `"id":"e1"`) {
		t.Errorf("Search: %d %s", code, body)
	}
	if code, body := ask(editor, "Remove", `{"id": "e1", "reason": "asked for"}`); code != http.StatusOK {
		t.Errorf("Remove: %d %s", code, body)
	}
	work()
	var entry struct{ Episode struct{ Removed bool } }
	if code, body := ask(editor, "Get", `{"id": "e1"}`); code != http.StatusOK || json.Unmarshal([]byte(body), &entry) != nil || !entry.Episode.Removed {
		t.Errorf("Get: %d %s", code, body)
	}
	write(t, tokens, "editor:write:"+editor+"\nviewer:read:"+reader+"\n")
	if err := server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	code := 0
	for range 1000 { // until the signal has come
		if code, _ = ask(reader, "Search", `{}`); code == http.StatusOK {
			break
		}
	}
	if code != http.StatusOK {
		t.Errorf("the token that was added: %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}
