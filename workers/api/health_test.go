package api

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
)

// dial is a client by grpc-go, which shares no code with the server.
func (r *running) dial() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func TestHealth(t *testing.T) {
	var fault atomic.Pointer[error]
	o := Options{Ready: func() error {
		if err := fault.Load(); err != nil {
			return *err
		}
		return nil
	}}
	o.Tokens, _ = tokens(t, twoTokens) // health is open all the same
	r := start(t, o)
	remote := healthv1.NewHealthClient(r.dial())
	check := func(service string, want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if answer, err := remote.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service}); err != nil || answer.Status != want {
			t.Errorf("%q: %v, %v; want %v", service, answer, err, want)
		}
	}
	check("", healthv1.HealthCheckResponse_SERVING)
	check("earshot.api.v1.Earshot", healthv1.HealthCheckResponse_SERVING)
	cold := errors.New("models are loading")
	fault.Store(&cold)
	check("", healthv1.HealthCheckResponse_NOT_SERVING)
	fault.Store(nil)
	check("", healthv1.HealthCheckResponse_SERVING)
	if _, err := remote.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("another service: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	answer, err := health{r.server}.Check(t.Context(), new(grpchealth.CheckRequest))
	if err != nil || answer.Status != grpchealth.StatusNotServing {
		t.Errorf("of a server that stops: %v, %v", answer, err)
	}
}

// A full server is not a dead one.
func TestHealthAnswersWhenAllPlacesAreTaken(t *testing.T) {
	s := slow{make(chan struct{})}
	r := start(t, Options{Calls: 1, Index: s})
	done := make(chan error)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		_, err := r.client().Get(ctx, &apiv1.GetRequest{Id: proto.String("x")})
		done <- err
	}()
	<-s.asked
	conn := r.dial()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	if status, answer := r.post("/earshot.api.v1.Earshot/Get", `{"id":"x"}`); status != 429 {
		t.Errorf("%d %s", status, answer)
	}
	leave()
	refused(t, <-done, connect.CodeCanceled, "")
}

// Tools such as grpcurl learn the service by reflection, in both of its versions,
// where they may read.
func TestReflection(t *testing.T) {
	o := Options{}
	o.Tokens, _ = tokens(t, twoTokens)
	r := start(t, o)
	conn := r.dial()
	reader := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+readerToken)

	for _, version := range []string{"v1", "v1alpha"} { // the messages are the same
		stream, err := conn.NewStream(reader, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo")
		if err != nil {
			t.Fatal(err)
		}
		ask := func(q *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			t.Helper()
			answer := new(reflectionv1.ServerReflectionResponse)
			if err := errors.Join(stream.SendMsg(q), stream.RecvMsg(answer)); err != nil {
				t.Fatal(version, err)
			}
			return answer
		}
		var names []string
		for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
			names = append(names, s.Name)
		}
		if slices.Sort(names); !slices.Equal(names, []string{"earshot.api.v1.Earshot", "grpc.health.v1.Health"}) {
			t.Errorf("%s: services %q", version, names)
		}
		var messages []string
		symbol := &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "earshot.api.v1.Earshot"}
		for _, b := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: symbol}).GetFileDescriptorResponse().GetFileDescriptorProto() {
			f := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(b, f); err != nil {
				t.Fatal(err)
			}
			for _, m := range f.MessageType {
				messages = append(messages, f.GetPackage()+"."+m.GetName())
			}
		}
		for _, want := range []string{"earshot.api.v1.SubmitRequest", "earshot.api.v1.Episode", "earshot.events.v1.EpisodePublished"} {
			if !slices.Contains(messages, want) {
				t.Errorf("%s: %s is not described; %q are", version, want, messages)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}
	nobody, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}
