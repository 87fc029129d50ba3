package codec

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const escapeArgument = "try-to-escape"

// tryToEscape is what a child that has been taken over would do. It prints what
// it could do, and ends.
func tryToEscape(secret string) {
	could := map[string]bool{}
	_, err := os.ReadFile("/etc/passwd")
	could["read /etc/passwd"] = err == nil
	_, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
	could["read its parent's environment"] = err == nil
	_, err = os.ReadDir("/")
	could["list the root folder"] = err == nil
	could["write a file"] = os.WriteFile(os.TempDir()+"/earshot-escaped", nil, 0o600) == nil
	conn, err := net.DialTimeout("tcp", "127.0.0.1:9", time.Second)
	could["use tcp"] = err == nil || !strings.Contains(err.Error(), "not permitted")
	if err == nil {
		conn.Close()
	}
	could["start a process"] = exec.Command("/proc/self/exe", "-test.list", ".").Run() == nil
	could["see the environment"] = os.Getenv("HOME") != "" || os.Getenv("EARSHOT_SECRET") != ""
	given := make([]byte, 5)
	n, _ := os.NewFile(3, "given").Read(given)
	could["read what it was given"] = string(given[:n]) == "given"
	tryCalls(could, secret)
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
	folder := t.TempDir()
	path, secret := folder+"/given", folder+"/secret"
	if err := errors.Join(os.WriteFile(path, []byte("given"), 0o600), os.WriteFile(secret, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	given, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	defer inheritable(t, secret)()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limits := decodeLimits(0)
	limits.MemoryBytes = 1 << 60 // the race detector reserves terabytes
	cmd := confined(context.Background(), self, limits, []string{escapeArgument, secret}, given)
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
	if !could["read what it was given"] {
		t.Error("the child could not read what it was given")
	}
	delete(could, "read what it was given")
	by := map[string]string{
		"read /etc/passwd": "Landlock files", "list the root folder": "Landlock files", "write a file": "Landlock files",
		"read its parent's environment": "Landlock files", "see the environment": "rlimits", "read an inherited file": "rlimits",
		"raise its limits": "no capabilities", "hold a capability": "no capabilities",
	}
	for what, did := range could {
		if mechanism := cmp.Or(by[what], "seccomp"); did && strings.Contains(active, mechanism) {
			t.Errorf("the child could %s", what)
		}
	}
	for what := range by {
		if _, tried := could[what]; !tried && runtime.GOOS == "linux" {
			t.Errorf("the child did not try to %s", what)
		}
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

func TestMemoryIsLimited(t *testing.T) {
	d := newTestDecoder(t)
	frame := []string{"-v", "error", "-f", "lavfi", "-i", "color=s=16000x16000:d=0.01", "-f", "null", "-"} // 380 MB
	l := decodeLimits(0)
	l.MemoryBytes = 256 << 20
	cmd := confined(context.Background(), d.FFmpeg(), l, frame)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run() // ffmpeg takes it for the end of the file
	if !strings.Contains(said.String(), "annot allocate memory") {
		t.Errorf("%v: %s", err, &said)
	}
}

func TestWhatIsWrittenIsLimited(t *testing.T) {
	d := newTestDecoder(t)
	path := filepath.Join(t.TempDir(), "out")
	for _, most := range []uint64{0, 10_000} {
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		l := decodeLimits(0)
		l.FileBytes = most
		cmd := confined(context.Background(), d.FFmpeg(), l, []string{"-v", "error", "-y", "-f", "lavfi", "-i", "anoisesrc=d=10", "-f", "wav", "-fd", "3", "fd:"}, file)
		err = cmd.Run()
		info, statErr := file.Stat()
		if err == nil || statErr != nil || uint64(info.Size()) > most {
			t.Errorf("%d bytes allowed: %v, %v, %d written", most, err, statErr, info.Size())
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}
