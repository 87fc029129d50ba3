// Package apiv1 is the API's messages, earshot.api.v1, as Go types, made from
// the .proto files beside it by `make schema`. docs/api.md says what the service
// does, and docs/events.md how messages may change.
package apiv1
