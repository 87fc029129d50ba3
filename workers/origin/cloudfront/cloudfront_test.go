package cloudfront

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
	"github.com/earshot-fm/earshot/workers/origin/purgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	distribution = "EDFDVBD632BHDS5"
	keyID        = "AKIDEXAMPLE"
	secret       = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

func open(t *testing.T, o Options) *Purger {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", keyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	o.Distribution = distribution
	p, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// batch is the InvalidationBatch of CloudFront's API reference.
type batch struct {
	XMLName         xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
	CallerReference string
	Paths           struct {
		Quantity int
		Items    struct{ Path []string }
	}
}

func read(t *testing.T, r purgetest.Request) (b batch) {
	t.Helper()
	if err := xml.Unmarshal(r.Body, &b); err != nil {
		t.Fatalf("%q: %v", r.Body, err)
	}
	return b
}

var signature = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/us-east-1/cloudfront/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

func vendor() purgetest.Vendor {
	return purgetest.Vendor{
		New: func(t *testing.T, api string, retry purge.Retry) origin.Purger {
			return open(t, Options{API: api, Prefix: "previews", Retry: retry})
		},
		Names: func(t *testing.T, r purgetest.Request) (names []string) {
			if r.Method != http.MethodPost || r.URL.Path != "/2020-05-31/distribution/"+distribution+"/invalidation" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			signed := signature.FindStringSubmatch(r.Header.Get("Authorization"))
			if signed == nil || !strings.Contains(signed[1], "host") || !strings.Contains(signed[1], "x-amz-date") {
				t.Errorf("Authorization: %s", r.Header.Get("Authorization"))
			}
			b := read(t, r)
			if b.CallerReference == "" || b.Paths.Quantity != len(b.Paths.Items.Path) || b.Paths.Quantity > 3000 {
				t.Errorf("reference %q, quantity %d of %d paths", b.CallerReference, b.Paths.Quantity, len(b.Paths.Items.Path))
			}
			for _, path := range b.Paths.Items.Path {
				name, found := strings.CutPrefix(path, "/previews/")
				name, err := url.PathUnescape(name)
				if !found || err != nil || strings.Contains(path, "*") {
					t.Errorf("path %s", path)
				}
				names = append(names, name)
			}
			return names
		},
		Accept: func(w http.ResponseWriter, _ purgetest.Request) {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I2J0I21PCUYOIK</Id><Status>InProgress</Status></Invalidation>`)
		},
		Secrets: []string{secret}, Many: 7000,
	}
}

func TestPurging(t *testing.T) { purgetest.Run(t, vendor()) }

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>said why</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code)
}

// CloudFront takes a second request with the same reference for the first: it
// must stay the same from attempt to attempt, and not from purge to purge.
func TestAttemptsShareAReferenceAndPurgesDoNot(t *testing.T) {
	var references []string
	busy := true
	v := vendor()
	p := purgetest.Serve(t, v, func(n int, w http.ResponseWriter, r purgetest.Request) {
		references = append(references, read(t, r).CallerReference)
		if busy {
			busy = false
			fail(w, http.StatusBadRequest, "TooManyInvalidationsInProgress")
			return
		}
		v.Accept(w, r)
	})
	for range 2 {
		if err := p.Purge(t.Context(), []string{"a"}, origin.Forget); err != nil {
			t.Fatal(err)
		}
	}
	if len(references) != 3 || references[0] != references[1] || references[1] == references[2] {
		t.Errorf("references %q", references)
	}
}

func TestWhatCloudFrontSaysIsPassedOn(t *testing.T) {
	p := purgetest.Serve(t, vendor(), func(_ int, w http.ResponseWriter, _ purgetest.Request) {
		fail(w, http.StatusNotFound, "NoSuchDistribution")
	})
	err := p.Purge(t.Context(), []string{"a"}, origin.Forget)
	if err == nil || !strings.Contains(err.Error(), "NoSuchDistribution: said why") || !strings.Contains(err.Error(), distribution) {
		t.Errorf("%v", err)
	}
}

func TestRefreshesCanBeLeftOut(t *testing.T) {
	p := open(t, Options{API: "http://127.0.0.1:1", RemovalsOnly: true, Retry: purge.Retry{Attempts: 1}})
	if err := p.Purge(t.Context(), []string{"a"}, origin.Refresh); err != nil {
		t.Error(err)
	}
	if err := p.Purge(t.Context(), []string{"a"}, origin.Forget); err == nil {
		t.Error("a removal was left out")
	}
}

func TestADistributionIsNeeded(t *testing.T) {
	if _, err := New(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "no distribution") {
		t.Error(err)
	}
}
