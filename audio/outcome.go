package audio

// Rejection is a permanent error: the same audio gives it every time, so that
// trying again is of no use. The code is stable and is what dead letters and
// metrics are filed under; the detail is for people.
type Rejection struct {
	Code   string
	Detail string
}

func (r *Rejection) Error() string { return r.Detail + " (" + r.Code + ")" }

// Warning says what was wrong with audio that could be used all the same.
type Warning struct {
	Code   string
	Detail string
}
