// Package speaker says who speaks when, without knowing who they are: windows
// of speech become embeddings, embeddings near one another are one speaker, and
// what a speaker says in one go is a turn.
package speaker
