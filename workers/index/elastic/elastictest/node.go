// Package elastictest runs real Elasticsearch nodes for tests. The first call
// for a version resolves its jars by Maven into the cache folder
// ($EARSHOT_CACHE) and compiles the small launcher in nodes; later ones, in
// this process or another, find them there. A node starts empty, on ports that
// the system chooses, in a few seconds and about 450 MB. It ends with its
// standard input and takes its data with it, so that nothing outlives the test
// that started it, even one that was killed.
package elastictest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The versions there are. The jars of 8.19 have no analyzer but the English
// one, no scripts and no server-side reindex; those of 7.17 have all analyzers.
const (
	V7 = "7.17"
	V8 = "8.19"
)

// Node is a running node.
type Node struct {
	URL string // http://127.0.0.1:PORT

	folder  string // its data and its log
	java    *exec.Cmd
	stdin   io.Closer
	ended   chan struct{} // closed when the process is gone
	stop    sync.Once
	stopped error
}

// How long a node may take on a machine that is busy with other tests.
const (
	startLimit = 3 * time.Minute
	stopLimit  = time.Minute
)

// Start starts an empty node of a version and returns when it is green. Who
// starts a node stops it.
func Start(ctx context.Context, version string) (*Node, error) {
	built, err := build(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("elastictest: Elasticsearch %s: %w", version, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	n := &Node{ended: make(chan struct{})}
	if n.folder, err = os.MkdirTemp(memory(), "elasticsearch-"); err != nil {
		return nil, fmt.Errorf("elastictest: Elasticsearch %s: %w", version, err)
	}
	if err = n.launch(ctx, built, version); err == nil {
		err = n.green(ctx)
	}
	if err != nil {
		log, _ := os.ReadFile(n.log())
		log = log[max(0, len(log)-2000):]
		return nil, errors.Join(fmt.Errorf("elastictest: start Elasticsearch %s: %w; it said: %s", version, err, log), n.Stop())
	}
	return n, nil
}

// memory is a folder in memory, where a node writes several times as fast since
// nothing it syncs goes to a disk; empty where there is none with room.
func memory() string {
	const shm, room = "/dev/shm", 2 << 30
	var s syscall.Statfs_t
	if err := syscall.Statfs(shm, &s); err != nil || uint64(s.Bavail)*uint64(s.Bsize) < room {
		return ""
	}
	return shm
}

// Stop ends the node, waits until it is gone and removes its data. Later calls
// return what the first did.
func (n *Node) Stop() error {
	n.stop.Do(func() {
		if n.java != nil {
			n.stopped = n.quit()
		}
		n.stopped = errors.Join(n.stopped, os.RemoveAll(n.folder))
	})
	return n.stopped
}

func (n *Node) quit() error {
	if err := n.stdin.Close(); err != nil {
		return err
	}
	select {
	case <-n.ended:
	case <-time.After(stopLimit):
		err := n.java.Process.Kill()
		<-n.ended
		return errors.Join(fmt.Errorf("elastictest: %s did not stop within %s and was killed", n.URL, stopLimit), err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL, "http://"))
	if err == nil {
		return errors.Join(fmt.Errorf("elastictest: %s still listens after its process has ended", n.URL), conn.Close())
	}
	return nil
}

func (n *Node) log() string { return filepath.Join(n.folder, "log") }

func (n *Node) launch(ctx context.Context, built, version string) error {
	if err := os.Mkdir(filepath.Join(n.folder, "config"), 0o755); err != nil {
		return err
	}
	log, err := os.Create(n.log())
	if err != nil {
		return err
	}
	defer log.Close()
	java := exec.Command("java", "-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dio.netty.noUnsafe=true", "-Dio.netty.noKeySetOptimization=true", "-Dlog4j2.disable.jmx=true",
		"-Dlog4j.configurationFile="+filepath.Join(built, "log4j2.properties"), "-Dfile.encoding=UTF-8",
		"-cp", filepath.Join(built, "classes")+":"+filepath.Join(built, "lib", "*"), recipes[version].launcher, n.folder)
	java.Dir, java.Stderr = n.folder, log
	java.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the test, which stops it in order
	if n.stdin, err = java.StdinPipe(); err != nil {
		return err
	}
	stdout, err := java.StdoutPipe()
	if err != nil {
		return err
	}
	if err := java.Start(); err != nil {
		return err
	}
	n.java = java
	address := make(chan string, 1)
	go func() {
		defer close(n.ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "LISTENING "); ok {
				address <- at
			}
		}
		_ = java.Wait() // how it ended is in its log
	}()
	select {
	case at := <-address:
		n.URL = "http://" + at
		return nil
	case <-n.ended:
		return errors.New("it ended by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) green(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/_cluster/health?wait_for_status=green&timeout=60s", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("its health is %s", answer.Status)
	}
	return nil
}
