package enclosure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// What leads inside a network by another name than its own.
func TestAddressesOfCloudsAndTunnelsAreRefused(t *testing.T) {
	for what, addresses := range map[string][]string{
		"metadata services":  {"169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"},
		"this host":          {"0.0.0.0", "0.1.2.3", "::", "::1", "127.255.255.254"},
		"mapped":             {"::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:168.63.129.16"},
		"NAT64":              {"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:ffff::1"},
		"6to4 and Teredo":    {"2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1"},
		"compatible":         {"::169.254.169.254", "::10.0.0.1"},
		"translated, SIIT":   {"::ffff:0:a9fe:a9fe"},
		"unique, link, site": {"fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1"},
		"reserved":           {"100::1", "5f00::1", "4000::1", "3fff::1", "192.88.99.1", "240.0.0.1"},
	} {
		for _, s := range addresses {
			if isPublic(netip.MustParseAddr(s)) {
				t.Errorf("%s: %s is taken for public", what, s)
			}
		}
	}
}

// Other ways to write an address than four decimal numbers name hosts that do
// not exist, or the same address; none gets by the guard.
func TestHostsInOtherNotationsReachNothing(t *testing.T) {
	var asked sync.Map
	port := strings.TrimPrefix(serve(t, func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.Host, true) }), "http://127.0.0.1:")
	other := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.1", "0", "[::1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "127.0.0.1.", "LOCALHOST", "%31%32%37.0.0.1", "１２７.0.0.1"} {
		if _, _, err := fetch(t, Options{AllowPrivate: other, Attempts: 1, Timeout: 5 * time.Second}, "http://"+host+":"+port+"/"); err == nil {
			t.Errorf("%s was reached", host)
		}
	}
	asked.Range(func(host, _ any) bool { t.Errorf("%v was asked", host); return true })
}

// A name that answers with another address each time is checked by the address
// that is connected to: there is no second look-up between check and use.
func TestTheAddressThatIsCheckedIsTheOneThatIsDialled(t *testing.T) {
	var dialled []string
	guard := Guard(nil)
	d := net.Dialer{Control: func(network, address string, c syscall.RawConn) error {
		dialled = append(dialled, address)
		return guard(network, address, c)
	}}
	_, err := d.DialContext(context.Background(), "tcp", "localhost:1")
	var rejected *audio.Rejection
	if !errors.As(err, &rejected) || rejected.Code != PrivateAddress {
		t.Errorf("%v", err)
	}
	for _, address := range dialled {
		if _, err := netip.ParseAddrPort(address); err != nil {
			t.Errorf("the guard was asked about %q, which is no address yet", address)
		}
	}
	if len(dialled) == 0 {
		t.Error("the guard was not asked")
	}
}

func TestAPortThatIsNoneIsNotTriedAgain(t *testing.T) {
	for _, port := range []string{"0", "65536", "99999", "18446744073709551617"} {
		_, _, err := fetch(t, Options{}, "http://192.0.2.1:"+port+"/")
		wantRejection(t, err, BadURL)
	}
}

// Credentials of the feed's address stay with its server.
func TestCredentialsDoNotFollowRedirects(t *testing.T) {
	var other http.Header
	elsewhere := strings.Replace(serve(t, func(w http.ResponseWriter, r *http.Request) {
		other = r.Header
		w.Write(sound)
	}), "127.0.0.1", "localhost", 1)
	var first http.Header
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		first = r.Header
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "hunter2"})
		http.Redirect(w, r, elsewhere, http.StatusFound)
	})
	if _, _, err := fetch(t, Options{}, strings.Replace(url, "http://", "http://user:hunter2@", 1)+"/?token=hunter2"); err != nil {
		t.Fatal(err)
	}
	if first.Get("Authorization") == "" {
		t.Error("the server that the credentials are for did not get them")
	}
	if s := fmt.Sprint(other); strings.Contains(s, "hunter2") || other.Get("Authorization") != "" || other.Get("Cookie") != "" || other.Get("Referer") != "" {
		t.Errorf("the other server got %v", other)
	}
}

func TestARedirectsOwnWordsAndBodyAreNotTrusted(t *testing.T) {
	// The address it names is no address, and holds a secret.
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://[cdn/?token=hunter2")
		w.WriteHeader(http.StatusFound)
	})
	_, _, err := fetch(t, Options{Attempts: 1}, broken)
	wantRejection(t, err, BadURL)
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("the error shows a secret: %v", err)
	}
	nowhere := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) })
	_, _, err = fetch(t, Options{Attempts: 1}, nowhere)
	wantRejection(t, err, Refused)

	// Its body never comes: nobody waits for it.
	gone := make(chan struct{})
	held := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/audio" {
			w.Write(sound)
			return
		}
		w.Header().Set("Location", "/audio")
		w.WriteHeader(http.StatusFound)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	if file, _, err := fetch(t, Options{IdleTimeout: 10 * time.Second, Timeout: 20 * time.Second, Attempts: 1}, held); err != nil || file.SHA256 != sum(sound) {
		t.Errorf("%v, %v", file, err)
	}
	<-gone
}

// raw serves what no honest server writes.
func raw(t *testing.T, write func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					write(c)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

func TestAnswersThatNoServerGives(t *testing.T) {
	until := func(c net.Conn, piece string) { // the client hangs up
		for {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}
	for name, write := range map[string]func(net.Conn){
		"headers without end": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			until(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
		},
		"a header without end": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			until(c, strings.Repeat("x", 1000))
		},
		"hints without end": func(c net.Conn) { until(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") },
		"no HTTP":           func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") },
		"less than it says": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc") },
		"two lengths": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
		},
		"a negative length":    func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc") },
		"chunks that are none": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc") },
		"a chunk of all there is": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc")
		},
		"trailers without end": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
			until(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
		},
		"a part that nobody asked of": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-6/7\r\nContent-Length: 2\r\n\r\nab")
		},
	} {
		_, _, err := fetch(t, Options{Attempts: 2, Timeout: 30 * time.Second}, raw(t, write))
		var rejected *audio.Rejection
		var transient *TransientError
		if !errors.As(err, &rejected) && !errors.As(err, &transient) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	claims := raw(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nabc")
	})
	_, _, err := fetch(t, Options{}, claims)
	wantRejection(t, err, TooLarge)
	// More than it says belongs to nobody.
	more := raw(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcdef")
	})
	if file, content, err := fetch(t, Options{}, more); err != nil || string(content) != "abc" {
		t.Errorf("%+v, %q, %v", file, content, err)
	}
}

// A byte now and then is no transfer.
func TestAServerThatDripsIsGivenUp(t *testing.T) {
	dripping := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.Write(sound[:1])
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	_, _, err := fetch(t, Options{IdleTimeout: 300 * time.Millisecond, Timeout: time.Minute, Attempts: 2}, dripping)
	if e := wantTransient(t, err); !errors.Is(e, errIdle) {
		t.Error(e)
	}
}

// Feeds that are paid for have their secret in the path as often as in the query.
func TestAPathIsNotShown(t *testing.T) {
	for address, want := range map[string]string{
		"https://user:pw@feeds.example/members/hunter2/1.mp3?x=hunter2#hunter2": "https://feeds.example/…",
		"https://feeds.example/":      "https://feeds.example/",
		"https://feeds.example":       "https://feeds.example",
		"mailto:hunter2@example.org":  "mailto:…",
		"http://hunter2:x@[::1]:80/a": "http://[::1]:80/…",
		"http://%zz/hunter2":          "(a malformed URL)",
		"/etc/hunter2":                "…",
	} {
		if got := redacted(address); got != want {
			t.Errorf("%s is shown as %s, want %s", address, got, want)
		}
	}
	missing := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	_, _, err := fetch(t, Options{}, missing+"/hunter2/a.mp3")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Error(err)
	}
}

// The environment cannot put a proxy between the guard and the address.
func TestAProxyOfTheEnvironmentIsNotAsked(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	_, err := New(Options{Attempts: 1}).Fetch(context.Background(), "http://169.254.169.254/", filepath.Join(t.TempDir(), "a"))
	wantRejection(t, err, PrivateAddress)
}
