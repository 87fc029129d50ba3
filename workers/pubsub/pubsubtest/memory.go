package pubsubtest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Memory is the library's in-memory server, at an address of its own: the
// library's answers share memory with what it goes on to write, which the race
// detector finds.
type Memory struct {
	*pstest.Server
	Address string // host:port, on the loopback

	server  *grpc.Server
	serving sync.WaitGroup
}

// StartMemory starts a server that keeps nothing. o are faults.
func StartMemory(o ...pstest.ServerReactorOption) (*Memory, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start an in-memory Pub/Sub: %w", err)
	}
	m := &Memory{Server: pstest.NewServer(o...), Address: l.Addr().String()}
	m.server = grpc.NewServer(grpc.UnaryInterceptor(m.apart), grpc.MaxRecvMsgSize(64<<20))
	pubsubpb.RegisterPublisherServer(m.server, &m.GServer)
	pubsubpb.RegisterSubscriberServer(m.server, &m.GServer)
	pubsubpb.RegisterSchemaServiceServer(m.server, &m.GServer)
	m.serving.Go(func() { _ = m.server.Serve(l) }) // it ends with Stop
	return m, nil
}

// apart gives an answer memory of its own, which is filled before the server
// next writes: whatever that is, it locks the server.
func (m *Memory) apart(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if p, ok := answer.(proto.Message); ok && err == nil {
		answer = proto.Clone(p)
		m.SetAutoPublishResponse(true) // changes nothing, and locks
	}
	return answer, err
}

// Stop ends the server.
func (m *Memory) Stop() error {
	m.server.Stop()
	m.serving.Wait()
	err := m.Close()
	m.Wait()
	return err
}
