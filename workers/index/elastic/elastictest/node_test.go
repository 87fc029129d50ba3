package elastictest

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func TestStartSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Start(t.Context(), V7); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("without Maven: %v", err)
	}
	if _, err := Start(t.Context(), "6.8"); err == nil || !strings.Contains(err.Error(), "there are 7.17 and 8.19") {
		t.Errorf("of a version that there is not: %v", err)
	}
}
