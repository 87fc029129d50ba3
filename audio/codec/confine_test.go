package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const escapeArgument = "try-to-escape"

// tryToEscape is what a child that has been taken over would do. It prints what
// it could do, and ends.
func tryToEscape() {
	could := map[string]bool{}
	_, err := os.ReadFile("/etc/passwd")
	could["read /etc/passwd"] = err == nil
	_, err = os.ReadDir("/")
	could["list the root folder"] = err == nil
	could["write a file"] = os.WriteFile(os.TempDir()+"/earshot-escaped", nil, 0o600) == nil
	for _, network := range []string{"tcp", "udp"} {
		conn, err := net.DialTimeout(network, "127.0.0.1:9", time.Second)
		could["use "+network] = err == nil || !strings.Contains(err.Error(), "not permitted")
		if err == nil {
			conn.Close()
		}
	}
	could["start a process"] = exec.Command("/proc/self/exe", "-test.list", ".").Run() == nil
	could["see the environment"] = os.Getenv("HOME") != "" || os.Getenv("EARSHOT_SECRET") != ""
	given := make([]byte, 5)
	n, _ := os.NewFile(3, "given").Read(given)
	could["read what it was given"] = string(given[:n]) == "given"
	if err := json.NewEncoder(os.Stdout).Encode(could); err != nil {
		os.Exit(2)
	}
	os.Exit(0)
}

func TestAChildReachesNothingButWhatItIsGiven(t *testing.T) {
	t.Setenv("EARSHOT_SECRET", "secret")
	d := newTestDecoder(t)
	c, err := d.Confine(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("confinement here: %v", c)
	active := strings.Join(c.Active, ",")
	path := t.TempDir() + "/given"
	if err := os.WriteFile(path, []byte("given"), 0o600); err != nil {
		t.Fatal(err)
	}
	given, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limits := decodeLimits(0)
	limits.MemoryBytes = 1 << 60 // the race detector reserves terabytes
	cmd := confined(context.Background(), self, limits, []string{escapeArgument})
	cmd.ExtraFiles = []*os.File{given}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	could := map[string]bool{}
	if err := json.Unmarshal(out, &could); err != nil {
		t.Fatal(err)
	}
	forbiddenBy := map[string]string{
		"read /etc/passwd": "Landlock files", "list the root folder": "Landlock files", "write a file": "Landlock files",
		"use tcp": "seccomp", "use udp": "seccomp", "start a process": "seccomp", "see the environment": "rlimits",
	}
	for what, by := range forbiddenBy {
		did, tried := could[what]
		if !tried || did && strings.Contains(active, by) {
			t.Errorf("the child could %s (tried: %v)", what, tried)
		}
	}
	if !could["read what it was given"] {
		t.Error("the child could not read what it was given")
	}
}

func TestFFmpegOpensNoOtherFile(t *testing.T) {
	d := newTestDecoder(t)
	secret := made(t, "secret.wav", "-f", "lavfi", "-i", "sine=d=1")
	cmd := confined(context.Background(), d.FFmpeg(), decodeLimits(0), []string{"-v", "error", "-i", secret, "-f", "wav", "pipe:1"})
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err == nil || len(out) > 0 {
		t.Fatalf("ffmpeg read a file that it was not given: %d bytes", len(out))
	}
	if !strings.Contains(said.String(), "denied") && !strings.Contains(said.String(), "not permitted") {
		t.Errorf("ffmpeg said: %s", &said)
	}
}

func TestProcessorTimeIsLimited(t *testing.T) {
	d := newTestDecoder(t)
	l := decodeLimits(0)
	l.CPU = 0 // rounded up to a second
	cmd := confined(context.Background(), d.FFmpeg(), l, []string{
		"-v", "error", "-f", "lavfi", "-i", "anoisesrc=d=36000:r=96000", "-f", "null", "-"})
	err := cmd.Run()
	if err == nil || ending(cmd.ProcessState, l) != endedByCPULimit {
		t.Fatalf("ended with %v", err)
	}
}
