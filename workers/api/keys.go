package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Keys are what the server shows of itself in TLS and, for mutual TLS, who must
// have signed its clients' certificates.
type Keys struct {
	certificate, key, clients string
	current                   atomic.Pointer[tls.Config]
}

// OpenKeys reads PEM files: the certificate with its chain, its key and, unless
// clients is empty, the authorities that clients' certificates come from; a
// client without one is then refused.
func OpenKeys(certificate, key, clients string) (*Keys, error) {
	k := &Keys{certificate: certificate, key: key, clients: clients}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the files again; connections from then on have the new keys. When
// that fails, the keys stay as they were.
func (k *Keys) Reload() error {
	pair, err := tls.LoadX509KeyPair(k.certificate, k.key)
	if err != nil {
		return fmt.Errorf("api: read the certificate %s and its key %s: %w", k.certificate, k.key, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if k.clients != "" {
		b, err := os.ReadFile(k.clients)
		if err != nil {
			return fmt.Errorf("api: read the clients' authorities: %w", err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(b) {
			return errors.New("api: " + k.clients + " holds no certificate in PEM")
		}
	}
	k.current.Store(c)
	return nil
}

func (k *Keys) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current.Load(), nil },
	}
}
