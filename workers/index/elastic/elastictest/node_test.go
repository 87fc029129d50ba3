package elastictest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(startAndWait())
	}
	goleak.VerifyTestMain(m)
}

func TestANodeIsWhatItSaysAndLeavesNothing(t *testing.T) {
	for _, version := range []string{V7, V8} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			n, err := Start(t.Context(), version)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(n.folder); !os.IsNotExist(err) {
					t.Errorf("its folder is left: %v", err)
				}
			}()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Get(n.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var root struct {
				Version struct{ Number string }
			}
			if err := json.NewDecoder(answer.Body).Decode(&root); err != nil || !strings.HasPrefix(root.Version.Number, version+".") {
				t.Errorf("it is version %q, %v", root.Version.Number, err)
			}
		})
	}
}

const childVariable = "EARSHOT_TEST_NODE_CHILD"

// startAndWait is the child of TestANodeEndsWithItsTest: it starts a node, says
// where, and waits to be killed.
func startAndWait() int {
	n, err := Start(context.Background(), V7)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(n.URL)
	select {}
}

func TestANodeEndsWithItsTest(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSpace(address), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child was not killed")
	}
	// Nobody else closes it.
	if err := conn.SetReadDeadline(time.Now().Add(stopLimit)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the node is still there: %v", err)
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Start(t.Context(), V7); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("without Maven: %v", err)
	}
	if _, err := Start(t.Context(), "6.8"); err == nil || !strings.Contains(err.Error(), "there are 7.17 and 8.19") {
		t.Errorf("of a version that there is not: %v", err)
	}
}
