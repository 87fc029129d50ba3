package buckettest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")) // of the gs driver's module
}

// What the drivers rely on, asked of the S3 store without any of them.
func TestTheS3StoreKeepsHeadersAndHonoursConditions(t *testing.T) {
	address, err := url.Parse(S3(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	object := address.Query().Get("endpoint") + "/previews/a"
	defer http.DefaultClient.CloseIdleConnections()
	do := func(method, body string, want int, headers ...string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, object, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s %v: %s, want %d", method, headers, response.Status, want)
		}
		return response
	}
	do("PUT", "one", 200, "Content-Type", "audio/ogg", "Cache-Control", "public, max-age=1", "If-None-Match", "*")
	do("PUT", "two", 412, "If-None-Match", "*")
	do("PUT", "two", 412, "If-Match", `"other"`)
	for _, method := range []string{"HEAD", "GET"} {
		got := do(method, "", 200)
		if got.Header.Get("Content-Type") != "audio/ogg" || got.Header.Get("Cache-Control") != "public, max-age=1" || got.ContentLength != 3 {
			t.Errorf("%s: %v", method, got.Header)
		}
	}
	do("PUT", "three", 200, "If-Match", do("HEAD", "", 200).Header.Get("ETag"))
	if got := do("HEAD", "", 200); got.ContentLength != 5 || got.Header.Get("Cache-Control") == "public, max-age=1" {
		t.Errorf("%v", got.Header)
	}
}
