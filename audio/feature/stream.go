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
	return &Stream{front: f, tail: make([]float32, 0, 2*f.config.Window), work: f.plan.workspace()}
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
			n := c.Frames(len(samples))
			logmel = s.front.append(logmel, samples, n, s.work)
			used := min(n*c.Hop, len(samples))
			s.skip += n*c.Hop - used
			s.tail = append(s.tail, samples[used:]...)
			return logmel
		}
		waited := len(s.tail)
		s.tail = append(s.tail, samples[:min(cap(s.tail)-waited, len(samples))]...)
		// The frames that begin in what has waited; the next can be read where it lies.
		n := min(c.Frames(len(s.tail)), (waited+c.Hop-1)/c.Hop)
		logmel = s.front.append(logmel, s.tail, n, s.work)
		next := n * c.Hop
		if next < waited { // the samples are used up
			s.tail = s.tail[:copy(s.tail, s.tail[next:])]
			return logmel
		}
		s.tail, s.skip = s.tail[:0], next-waited
	}
}
