// Package apiv1connect is the API's client, which speaks Connect, gRPC and
// gRPC-Web, and the names of its procedures, made from the .proto files of
// earshot.api.v1 by `make schema`.
package apiv1connect
