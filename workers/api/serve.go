package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/netutil"
)

// Serve answers what comes to the listener until ctx ends, then stops: nothing
// new is taken, streams end with "unavailable" so that their clients go
// elsewhere, other calls may finish within the grace. It returns when no call is
// under way any more, with nil, or with what kept it from listening. It closes
// the listener, and may be called once.
//
// A listener on loopback or on a Unix socket is reached by programs of this
// machine alone; any other takes changes only with tokens.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	working, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	server := s.server(working, l.Addr())
	s.announce(l.Addr())
	l = netutil.LimitListener(l, s.options.Connections)
	if s.options.Keys != nil {
		l = tls.NewListener(l, s.options.Keys.config())
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var fault error
	select {
	case fault = <-served:
		fault = fmt.Errorf("api: listen on %s: %w", l.Addr(), fault)
		served <- nil
	case <-ctx.Done():
	}
	close(s.draining)
	grace, cancel := context.WithTimeout(working, s.options.Grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.options.Log.WarnContext(ctx, "api: calls were cut short: they took longer than the grace", "grace", s.options.Grace)
	}
	abort(errDraining)
	// What has not ended by now has lost its context and its connection. The
	// connections that are closed here tell nobody why.
	_ = server.Close()
	s.places.takeAll()
	<-served
	return fault
}

func (s *Server) server(working context.Context, address net.Addr) *http.Server {
	_, unix := address.(*net.UnixAddr)
	server := &http.Server{
		Handler:           &front{Server: s, local: loopback(address), unix: unix, errors: connect.NewErrorWriter(), pages: http.NewCrossOriginProtection()},
		BaseContext:       func(net.Listener) context.Context { return working },
		ReadHeaderTimeout: min(10*time.Second, s.options.Patience),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
		// A client that vanished without a word is found out by pings.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 128, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return server
}

func loopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// announce says what the server lets be done, and what would better be otherwise.
func (s *Server) announce(a net.Addr) {
	changes := !s.options.ReadOnly && (loopback(a) || s.options.Tokens != nil)
	s.options.Log.Info("api: listening", "address", a.String(), "changes", changes, "tokens", s.options.Tokens != nil, "tls", s.options.Keys != nil)
	if s.options.Tokens != nil && s.options.Keys == nil && !loopback(a) {
		s.options.Log.Warn("api: tokens travel in clear: give the server a certificate, or put a proxy that has one before it")
	}
}
