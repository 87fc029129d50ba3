package api

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// admit says whether the request may be served, before any of it is read. Off
// loopback nothing is changed without tokens. On loopback without tokens any
// program of this machine may call, but not another's page in its browser: a
// page's own address shows in Origin, or in Host where its name was pointed here.
func (f *front) admit(r *http.Request, k kind, c *call) *connect.Error {
	switch {
	case k == probing:
		return nil
	case f.options.Tokens != nil:
		if err := f.authenticate(r, k, c); err != nil {
			return err
		}
	case f.local && !f.unix && !ownName(r.Host):
		return connect.NewError(connect.CodePermissionDenied, errors.New("without tokens this server answers under localhost and loopback addresses only"))
	case f.pages.Check(r) != nil:
		return connect.NewError(connect.CodePermissionDenied, errors.New("without tokens this server answers no pages of other sites"))
	case k == writing && !f.local:
		return connect.NewError(connect.CodePermissionDenied, errors.New("this server is read-only: it listens off loopback, and takes changes there only with a token of role write"))
	}
	if k == writing && f.options.ReadOnly {
		return connect.NewError(connect.CodePermissionDenied, errors.New("this server is read-only"))
	}
	return nil
}

func (f *front) authenticate(r *http.Request, k kind, c *call) *connect.Error {
	hash, brought := bearer(r.Header)
	if !brought {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("a token is needed: Authorization: Bearer TOKEN"))
	}
	gone := connect.NewError(connect.CodeUnauthenticated, errors.New("the token is none of this server's"))
	g, known := f.options.Tokens.find(hash)
	if !known {
		return gone
	}
	c.caller = g.name
	if k == writing && g.role != Write {
		return connect.NewError(connect.CodePermissionDenied, errors.New("the token is only for reading"))
	}
	c.allowed = func() error {
		if _, known := f.options.Tokens.find(hash); !known {
			return gone
		}
		return nil
	}
	return nil
}

func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
