package feature

// Stream computes the frames of a recording that arrives in chunks. The frames
// are the same bits as AppendFrames gives for the whole recording, whatever the
// chunks. A Stream belongs to one goroutine.
type Stream struct {
	front *FrontEnd
	tail  []float32 // samples not yet fully used: the next frame starts at tail[0]
	work  *workspace
	skip  int // samples still to drop, when the hop is longer than the window
}

// Stream starts a recording. Like AppendFrames it is for KindLogMel.
func (f *FrontEnd) Stream() *Stream {
	f.mustStream()
	return &Stream{front: f, tail: make([]float32, 0, f.config.Window), work: f.workspace()}
}

// Write takes the next samples and appends the frames they complete to logmel:
// [frames, mels]. It keeps less than one window of samples and allocates only
// when logmel is too small.
func (s *Stream) Write(logmel, samples []float32) []float32 {
	c := &s.front.config
	for {
		drop := min(s.skip, len(samples))
		samples, s.skip = samples[drop:], s.skip-drop
		if len(s.tail) == 0 {
			// Nothing is waiting: frames can be read where they lie.
			for len(samples) >= c.Window {
				logmel = s.front.appendFrame(logmel, samples[:c.Window], s.work)
				step := min(c.Hop, len(samples))
				samples, s.skip = samples[step:], c.Hop-step
				if s.skip > 0 {
					break
				}
			}
			s.tail = append(s.tail, samples...)
			return logmel
		}
		need := min(c.Window-len(s.tail), len(samples))
		s.tail = append(s.tail, samples[:need]...)
		samples = samples[need:]
		if len(s.tail) < c.Window {
			return logmel
		}
		logmel = s.front.appendFrame(logmel, s.tail, s.work)
		step := min(c.Hop, c.Window)
		s.tail = s.tail[:copy(s.tail, s.tail[step:])]
		s.skip = c.Hop - step
	}
}
