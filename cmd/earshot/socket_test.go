package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestASocketThatAKilledWorkerLeft: in a container the next worker has the same
// process number, and so the same name.
func TestASocketThatAKilledWorkerLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "worker-1.sock")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := listenAt(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := listenAt(path); err == nil {
		t.Error("a socket at which another answers was taken")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
