// Package langid says in which language an episode is spoken. Windows of
// speech from all over the tape go through a model; their answers are pooled
// into one distribution over BCP 47 tags, and where no language stands out, or
// the model hears none of its own, the answer is "und".
package langid
