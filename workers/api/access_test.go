package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
)

const (
	readerToken = "reader-token-of-the-test"
	writerToken = "writer/token+of.the~test=="
)

func tokens(t *testing.T, text string) (tokens *Tokens, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, file
}

const twoTokens = "# who may call\n\nconsole:" + readerToken + "\npublisher:write:" + writerToken + "\n"

// Each call, by each caller, off loopback and on it.
func TestWhoMayCallWhat(t *testing.T) {
	away := func(l net.Listener) net.Listener { return elsewhere{l} }
	here := func(l net.Listener) net.Listener { return l }
	for _, c := range []struct {
		name        string
		tokens      bool
		readOnly    bool
		where       func(net.Listener) net.Listener
		authority   string
		read, write int
		why         string // of the write
	}{
		{"loopback, no tokens", false, false, here, "", 200, 200, ""},
		{"loopback, no tokens, read-only", false, true, here, "", 200, 403, "this server is read-only"},
		{"off loopback, no tokens", false, false, away, "", 200, 403, "it listens off loopback"},
		{"no token brought", true, false, here, "", 401, 401, "a token is needed"},
		{"no token brought, off loopback", true, false, away, "", 401, 401, "a token is needed"},
		{"another scheme", true, false, away, "Basic " + writerToken, 401, 401, "a token is needed"},
		{"nothing after the scheme", true, false, away, "Bearer ", 401, 401, "a token is needed"},
		{"a wrong token", true, false, away, "Bearer " + writerToken + "x", 401, 401, "none of this server's"},
		{"the name of a token", true, false, away, "Bearer publisher", 401, 401, "none of this server's"},
		{"for reading", true, false, away, "Bearer " + readerToken, 200, 403, "only for reading"},
		{"for writing", true, false, away, "Bearer " + writerToken, 200, 200, ""},
		{"for writing, the scheme in lower case", true, false, here, "bearer " + writerToken, 200, 200, ""},
		{"for writing, read-only", true, true, away, "Bearer " + writerToken, 200, 403, "this server is read-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{ReadOnly: c.readOnly}
			if c.tokens {
				o.Tokens, _ = tokens(t, twoTokens)
			}
			r := startOn(t, o, c.where)
			r.index.hold(version(1, 1), nil)
			var headers []string
			if c.authority != "" {
				headers = []string{"Authorization", c.authority}
			}
			for procedure, want := range map[string]int{"Submit": c.write, "Remove": c.write, "Get": c.read, "Search": c.read} {
				body := map[string]string{"Submit": `{"event":{"id":"x","enclosure":{"url":"https://example.org/a"}}}`, "Remove": `{"id":"x"}`, "Get": `{"id":"x"}`, "Search": "{}"}[procedure]
				status, answer := r.post("/earshot.api.v1.Earshot/"+procedure, body, headers...)
				if status != want || want == c.write && want != 200 && c.read == 200 && !strings.Contains(answer, c.why) {
					t.Errorf("%s: %d %s, want %d …%s…", procedure, status, answer, want, c.why)
				}
			}
			if want := map[bool]int{true: 2, false: 0}[c.write == 200]; len(r.inbox.events)+len(r.inbox.removals) != want {
				t.Errorf("%d were taken, want %d", len(r.inbox.events)+len(r.inbox.removals), want)
			}
			if status, answer := r.post("/grpc.health.v1.Health/Check", "{}"); status != 200 || !strings.Contains(answer, "SERVING") {
				t.Errorf("health: %d %s", status, answer)
			}
			// The codes are the same in the other protocols.
			client := apiv1connect.NewEarshotClient(r.http(2), r.url(), connect.WithGRPC(), connect.WithInterceptors(bearing(c.authority)))
			_, err := client.Submit(t.Context(), submission("x"))
			want := map[int]connect.Code{401: connect.CodeUnauthenticated, 403: connect.CodePermissionDenied}[c.write]
			if c.write == 200 && err != nil || c.write != 200 && connect.CodeOf(err) != want {
				t.Errorf("gRPC: %v", err)
			}
			stream, err := client.Watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
			if err != nil {
				t.Fatal(err)
			}
			if got := stream.Receive(); got != (c.read == 200) {
				t.Errorf("Watch: %v", stream.Err())
			}
			stream.Close()
			if log := r.log.String(); strings.Contains(log, readerToken) || strings.Contains(log, writerToken) {
				t.Error("the log has a token")
			}
			if c.write != 200 {
				r.log.await(t, "level=WARN", "api: refused", "method=Submit", "remote=127.0.0.1:", "why=")
			}
		})
	}
}

// bearing brings a token along.
func bearing(authority string) connect.Interceptor { return carrier(authority) }

type carrier string

func (c carrier) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		c.add(r.Header())
		return next(ctx, r)
	}
}

func (c carrier) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, s)
		c.add(conn.RequestHeader())
		return conn
	}
}

func (c carrier) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (c carrier) add(h http.Header) {
	if c != "" {
		h.Set("Authorization", string(c))
	}
}

func TestACallIsLoggedWithItsTokensName(t *testing.T) {
	o := Options{}
	o.Tokens, _ = tokens(t, twoTokens)
	r := start(t, o)
	if _, err := r.client(connect.WithInterceptors(bearing("Bearer "+writerToken))).Submit(t.Context(), submission("x")); err != nil {
		t.Fatal(err)
	}
	r.log.await(t, "api: call", "method=Submit", "code=ok", "took=", "caller=publisher", "episode=x", "revision=1795953600000", "remote=127.0.0.1:")
}

// A token that is taken away ends what it opened, and one that is added serves,
// without a restart; a file that cannot be read changes nothing.
func TestTokensAreReloaded(t *testing.T) {
	c := newClock()
	o := c.options()
	set, file := tokens(t, twoTokens)
	o.Tokens = set
	r := start(t, o)
	client := func(token string) apiv1connect.EarshotClient {
		return r.client(connect.WithInterceptors(bearing("Bearer " + token)))
	}
	stream, err := client(readerToken).Watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	receive(t, stream, state(waiting, nil))
	<-c.pauses

	for _, text := range []string{"nothing to see", "", "# empty\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := set.Reload(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := client(writerToken).Submit(t.Context(), submission("x")); err != nil {
		t.Errorf("the tokens before are gone: %v", err)
	}
	const fresh = "a-fresh-token-of-the-test"
	if err := os.WriteFile(file, []byte("publisher:write:"+fresh), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := set.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := client(fresh).Submit(t.Context(), submission("x")); err != nil {
		t.Error(err)
	}
	_, err = client(writerToken).Submit(t.Context(), submission("x"))
	refused(t, err, connect.CodeUnauthenticated, "none of this server's")
	c.pass(1)
	if stream.Receive() {
		t.Error(stream.Msg())
	}
	refused(t, stream.Err(), connect.CodeUnauthenticated, "none of this server's")

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := set.Reload(); err == nil {
		t.Error("a missing file was read")
	}
	if _, err := OpenTokens(file); err == nil {
		t.Error("a missing file was opened")
	}
}

// Faults of the file are named by their line, and no token is told.
func TestTokenFiles(t *testing.T) {
	const token = "a-token-of-enough-characters"
	for text, want := range map[string]string{
		token:               "line 1: want NAME:TOKEN or NAME:ROLE:TOKEN",
		"a:b:c:" + token:    "line 1: want NAME:TOKEN or NAME:ROLE:TOKEN",
		"\n#\na b:" + token: "line 3: the name is none",
		":" + token:         "line 1: the name is none",
		"a:admin:" + token:  "line 1: the role is neither",
		"a:" + token + "\na:write:" + token + "x": "line 2: its name or its token was there before",
		"a:" + token + "\nb:write:" + token:       "line 2: its name or its token was there before",
		"a:short-token":                           "line 1: the token is none",
		"a:write:" + token + " " + token:          "line 1: the token is none",
		"a:" + token + "é":                        "line 1: the token is none",
		"a:=" + token:                             "line 1: the token is none",
		"":                                        "holds no tokens",
		"a:" + token + strings.Repeat("x", 100_000): "token too long",
	} {
		_, err := parseTokens([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
	grants, err := parseTokens([]byte("a:" + token + "\r\n  b:read:" + token + "/+=\n\nc:write:" + token + "~\n"))
	if err != nil || len(grants) != 3 || grants[0].role != Read || grants[1].role != Read || grants[2].role != Write || grants[2].name != "c" {
		t.Errorf("%+v, %v", grants, err)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte(twoTokens))
	f.Fuzz(func(t *testing.T, b []byte) {
		grants, err := parseTokens(b)
		if (err == nil) == (len(grants) == 0) {
			t.Fatalf("%q: %d, %v", b, len(grants), err)
		}
	})
}

// A page of another site, open in a browser of this machine, reaches loopback
// too. It may call nothing, neither as itself nor by a name that was pointed at
// this machine.
func TestWithoutTokensPagesOfOthersMayNotCall(t *testing.T) {
	r := start(t, Options{})
	const body = `{"event":{"id":"x","enclosure":{"url":"https://example.org/a"}}}`
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Host", "evil.example:8080"},
		{"Host", "evil.example", "Origin", "http://evil.example"},
		{"Host", "192.0.2.1"},
	} {
		if status, answer := r.post(apiv1connect.EarshotSubmitProcedure, body, headers...); status != http.StatusForbidden || !strings.Contains(answer, "without tokens") {
			t.Errorf("%v: %d %s", headers, status, answer)
		}
	}
	if len(r.inbox.events) > 0 {
		t.Error(r.inbox.events)
	}
	for _, headers := range [][]string{{"Host", "localhost"}, {"Host", "LOCALHOST:80"}, {"Host", "[::1]:80"}, {"Host", "127.8.8.8"}, {"Host", "localhost", "Origin", "http://localhost"}} {
		if status, answer := r.post(apiv1connect.EarshotSubmitProcedure, body, headers...); status != http.StatusOK {
			t.Errorf("%v: %d %s", headers, status, answer)
		}
	}
}

func TestWhatIsLoopback(t *testing.T) {
	for text, want := range map[string]bool{"127.0.0.1:0": true, "127.9.9.9:0": true, "[::1]:0": true, "0.0.0.0:0": false, "[::]:0": false, "192.0.2.1:0": false, ":0": false} {
		a, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		if loopback(a) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if !loopback(&net.UnixAddr{Name: "/run/earshot.sock"}) || loopback(&net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}) {
		t.Error("a socket's path is this machine's; what is not known is not")
	}
}

func TestMutualTLS(t *testing.T) {
	a := newAuthority(t)
	r := start(t, Options{Keys: a.keys(t, a.file("ca.pem"))})
	r.secure = a.trusted()
	if _, err := r.client().Submit(t.Context(), submission("x")); err == nil {
		t.Error("a client without a certificate was served")
	}
	other := newAuthority(t)
	for _, c := range []struct {
		signer authority
		served bool
	}{{other, false}, {a, true}} {
		certificate, key := c.signer.pair(t, "client", clientUsage)
		r.secure = a.trusted()
		r.secure.Certificates = append(r.secure.Certificates, load(t, certificate, key))
		if _, err := r.client(connect.WithGRPC()).Submit(t.Context(), submission("x")); (err == nil) != c.served {
			t.Errorf("served: %v, %v", c.served, err)
		}
	}
}

// A certificate is renewed without a restart; broken files change nothing.
func TestKeysAreReloaded(t *testing.T) {
	a, next := newAuthority(t), newAuthority(t)
	keys := a.keys(t, "")
	r := start(t, Options{Keys: keys})
	try := func(trust authority) error {
		r.secure = trust.trusted()
		_, err := r.client().Submit(t.Context(), submission("x"))
		return err
	}
	if err := try(a); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys.certificate, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err == nil || !strings.Contains(err.Error(), keys.certificate) {
		t.Errorf("a broken certificate: %v", err)
	}
	if err := try(a); err != nil {
		t.Errorf("the keys before are gone: %v", err)
	}
	keys.certificate, keys.key = next.pair(t, "server", serverUsage)
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := try(next); err != nil {
		t.Error(err)
	}
	if try(a) == nil {
		t.Error("the old certificate is still shown")
	}
	for _, clients := range []string{a.file("none.pem"), a.file("server.key")} {
		if _, err := OpenKeys(keys.certificate, keys.key, clients); err == nil {
			t.Errorf("authorities from %s", clients)
		}
	}
}

func TestAServerNeedsWhatItServes(t *testing.T) {
	for want, o := range map[string]Options{"no index": {Inbox: new(tray)}, "no inbox": {Index: new(shelf)}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := New(Options{Index: new(shelf), ReadOnly: true}); err != nil {
		t.Error(err)
	}
}
