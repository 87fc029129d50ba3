package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/earshot-fm/earshot/dag/episode"
)

// retryDelay is what a client is asked to wait before it tries again.
const retryDelay = 2 * time.Second

// invalid refuses a request for a *episode.FieldError, whose field lies below
// the prefix. Any other error is told as it is.
func invalid(prefix string, err error) *connect.Error {
	field, ok := errors.AsType[*episode.FieldError](err)
	if !ok {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	name := prefix + field.Field
	return detailed(connect.CodeInvalidArgument, name+": "+field.Problem, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: name, Description: field.Problem}},
	})
}

// later refuses a request that may go well in a while.
func later(code connect.Code, text string) *connect.Error {
	return detailed(code, text, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
}

func detailed(code connect.Code, text string, detail proto.Message) *connect.Error {
	e := connect.NewError(code, errors.New(text))
	if d, err := connect.NewErrorDetail(detail); err == nil {
		e.AddDetail(d)
	}
	return e
}

// failed is what a client is told of an error of the inbox or the index: not the
// error itself, which may speak of addresses and is for the log.
func (s *Server) failed(ctx context.Context, doing string, err error) *connect.Error {
	switch {
	case errors.Is(context.Cause(ctx), errDraining):
		return stopping()
	case errors.Is(ctx.Err(), context.Canceled):
		return connect.NewError(connect.CodeCanceled, errors.New("the call was cancelled"))
	}
	s.options.Log.WarnContext(ctx, "api: "+doing+" failed", "error", err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return later(connect.CodeDeadlineExceeded, doing+" took too long; it may have happened all the same")
	}
	return later(connect.CodeUnavailable, doing+" is not possible now; try again")
}

var errDraining = errors.New("api: the server stops")

func stopping() *connect.Error {
	return later(connect.CodeUnavailable, "this server stops; call again, another answers")
}

func (s *Server) recovered(ctx context.Context, spec connect.Spec, _ http.Header, p any) error {
	s.options.Log.ErrorContext(ctx, "api: panic", "method", strings.TrimPrefix(spec.Procedure, "/"), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return connect.NewError(connect.CodeInternal, errors.New("a fault in the server; its log has it"))
}
