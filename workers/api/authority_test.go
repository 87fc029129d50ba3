package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{folder: t.TempDir()}
	a.certificate, a.key = issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	write(t, a.file("ca.pem"), "CERTIFICATE", a.certificate.Raw)
	return a
}

func (a authority) file(name string) string { return filepath.Join(a.folder, name) }

func (a authority) trusted() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// pair writes a certificate and its key.
func (a authority) pair(t *testing.T, name string, usage x509.ExtKeyUsage) (certificate, key string) {
	t.Helper()
	c, k := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, a.certificate, a.key)
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.file(name+".pem"), "CERTIFICATE", c.Raw)
	write(t, a.file(name+".key"), "EC PRIVATE KEY", b)
	return a.file(name + ".pem"), a.file(name + ".key")
}

func (a authority) keys(t *testing.T, clients string) *Keys {
	t.Helper()
	certificate, key := a.pair(t, "server", x509.ExtKeyUsageServerAuth)
	k, err := OpenKeys(certificate, key, clients)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, signer = template, key
	}
	b, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func write(t *testing.T, file, kind string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	clientUsage = x509.ExtKeyUsageClientAuth
	serverUsage = x509.ExtKeyUsageServerAuth
)

func load(t *testing.T, certificate, key string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
