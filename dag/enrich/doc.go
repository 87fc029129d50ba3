// Package enrich is Earshot's graph: the nodes that turn an episode event into
// a record, a preview and an entry in the index, how they connect, and what
// configures them. It says in ports.go which abilities it needs (a Transcriber,
// a Publisher, …) and leaves to cmd which driver or model fits each. The engine
// below it (dag) decides what runs; this package says what running means.
package enrich
