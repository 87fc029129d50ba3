package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/earshot-fm/earshot/audio"
)

// Warning says what was wrong with audio that could be heard all the same.
type Warning = audio.Warning

// The codes of warnings.
const (
	DamagedFrames = "damaged-frames" // after the format's name: mp3-damaged-frames
	Truncated     = "truncated"
	GarbageBefore = "garbage-before-audio"
	WildSamples   = "impossible-samples"
)

// messages reads what ffmpeg says, counts it by kind and keeps a little of it.
// It never grows, whatever the child writes.
type messages struct {
	mu      sync.Mutex
	line    []byte
	first   []string
	damaged int
	cut     bool
	noAudio bool
}

const (
	longestLine = 512
	keptLines   = 8
)

func newMessages() *messages { return &messages{line: make([]byte, 0, longestLine)} }

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		piece := p
		if end >= 0 {
			piece = p[:end]
		}
		m.line = append(m.line, piece[:min(len(piece), longestLine-len(m.line))]...)
		if end < 0 {
			break
		}
		m.see(string(m.line))
		m.line = m.line[:0]
		p = p[end+1:]
	}
	return total, nil
}

var (
	damagedLine = regexp.MustCompile(`(?i)header missing|invalid data found when processing|error while decoding|error submitting packet|invalid (new )?backstep|overread|big_values too big|decode_frame|channel element .* not allocated|reserved bit|corrupt|crc mismatch|invalid residual|decode error|error decoding|sync byte|skipping (junk|\d+ bytes)|number of bands|prediction is not allowed|input buffer exhausted|invalid band type|invalid frame header`)
	cutLine     = regexp.MustCompile(`(?i)truncat|partial file|end of file|file ended prematurely|moov atom not found|stream ends prematurely`)
	noAudioLine = regexp.MustCompile(`(?i)matches no streams|does not contain any stream`)
	repeated    = regexp.MustCompile(`Last message repeated (\d+) times`)
)

func (m *messages) see(line string) {
	line = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
	switch {
	case line == "":
		return
	case noAudioLine.MatchString(line):
		m.noAudio = true
	case cutLine.MatchString(line):
		m.cut = true
	case damagedLine.MatchString(line):
		m.damaged++
	case repeated.MatchString(line):
		var n int
		if _, err := fmt.Sscanf(repeated.FindStringSubmatch(line)[1], "%d", &n); err == nil && m.damaged > 0 {
			m.damaged += n
		}
		return
	default:
		if !strings.Contains(line, "[error]") && !strings.Contains(line, "[fatal]") {
			return
		}
	}
	if len(m.first) < keptLines {
		m.first = append(m.first, line)
	}
}

func (m *messages) warnings(f Format) []Warning {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Warning
	if m.damaged > 0 {
		out = append(out, Warning{Code: string(f) + "-" + DamagedFrames, Detail: fmt.Sprintf("%d places were damaged and concealed or skipped", m.damaged)})
	}
	if m.cut {
		out = append(out, Warning{Code: Truncated, Detail: "the file ends too early"})
	}
	return out
}

func (m *messages) said() string {
	if len(m.first) == 0 {
		return "ffmpeg said nothing"
	}
	return strings.Join(m.first, "; ")
}

// verdict says what it means that ffmpeg ended with err: io.EOF where it gave
// sound before, a rejection where the file is at fault, else a transient error.
func (m *messages) verdict(err error, state *os.ProcessState, l limits, heard bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var exit *exitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("codec: waiting for ffmpeg: %w", err)
	}
	switch how := ending(state, l); {
	case how == endedByCPULimit:
		return &audio.Rejection{Code: TooCostly, Detail: "decoding took more processor time than any honest file of this size needs"}
	case how == endedBySignal:
		return fmt.Errorf("codec: ffmpeg was killed (%v): try again", state)
	case m.noAudio:
		return &audio.Rejection{Code: NoAudioStream, Detail: "the file has no sound in it"}
	case state.ExitCode() == shimFailed:
		return fmt.Errorf("codec: ffmpeg could not be confined and started: %s", m.said())
	case heard:
		m.cut = m.cut || m.damaged == 0
		return io.EOF
	}
	return &audio.Rejection{Code: Undecodable, Detail: "nothing in the file could be decoded: " + m.said()}
}
