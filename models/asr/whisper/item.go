package whisper

// Whisper's window and its rates, which no export changes.
const (
	windowSeconds = 30
	sampleRate    = 16000
	hop           = 160 // samples between frames
	windowSamples = windowSeconds * sampleRate
	windowFrames  = windowSamples / hop // of the log-mel
	stampSeconds  = 0.02                // between timestamps, and between the encoder's frames
	stampFrames   = 2                   // of the log-mel for each of the encoder's
)

// Item is one window to decode, or to tell the language of.
type Item struct {
	Mel     []float32 // [mels, 3000], as the "whisper" front end normalises it
	Frames  int       // of Mel that hold audio; word times lie within
	Content [32]byte  // SHA-256 of the window's samples: seeds the draws

	Identify  bool   // give the languages' probabilities alone
	Language  string // as the model's tokens have it; "" in an English-only model
	Previous  []int  // text tokens that came before, the newest last
	Unstamped bool   // without timestamps
	Seeks     bool   // text after the last pair of timestamps is the next window's
}

// Heard is what a window gave.
type Heard struct {
	Languages []Likelihood // of an Item with Identify; the likeliest first

	Tokens      []int // text and timestamps, without what opens and ends them
	Text        string
	LogP        float64     // mean over the tokens and the end
	NoSpeech    float64     // probability that nothing is said, from the first step
	Compression float64     // of the text by zlib: how often it repeats itself
	Temperature float64     // of the attempt that was taken
	Passed      bool        // whether that attempt passed the thresholds, or was the last
	Words       []timedWord // nil: the graph gives no cross-attention, or was not asked
}

// Likelihood is how probable one language is.
type Likelihood struct {
	Language    string
	Probability float64
}
