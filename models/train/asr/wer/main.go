// Command wer decodes the posteriors that models/train/asr/posteriors.py wrote
// with a model's lexicon and 3-gram, and prints the word error rate: for the
// model's own parameters, or for every pair of the weights that are asked for.
// Beside it stands the expected calibration error of the words' confidences.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr"
)

type recording struct {
	Written        string
	Steps, Classes int
	LogP           []float32 `json:"-"`
}

func main() {
	folder := flag.String("model", "models/pack/earshot-en", "the model's `folder`")
	weights := flag.String("lm-weight", "", "comma-separated `weights` of the 3-gram to try")
	scores := flag.String("word-score", "", "comma-separated word `scores` to try")
	beams := flag.String("beam", "", "comma-separated beam `sizes` to try")
	show := flag.Int("show", 0, "print the first `n` results")
	first := flag.Int("first", 0, "decode only the first `n` recordings of each file; 0: all")
	evidence := flag.String("evidence", "", "write what speaks for each word, and whether it is right, to `file`, for calibrate.py")
	flag.Parse()
	if err := run(*folder, split(*weights), split(*scores), split(*beams), *show, *first, *evidence, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "wer:", err)
		os.Exit(1)
	}
}

// split gives one empty choice where nothing was asked for.
func split(list string) []string { return strings.Split(list, ",") }

func run(folder string, weights, scores, beams []string, show, first int, evidence string, files []string) error {
	m, err := models.Load(os.DirFS(folder))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("name the files that posteriors.py wrote")
	}
	sets := make([][]recording, len(files))
	for i, file := range files {
		if sets[i], err = read(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if first > 0 {
			sets[i] = sets[i][:min(first, len(sets[i]))]
		}
	}
	var notes bytes.Buffer
	for _, weight := range weights {
		for _, score := range scores {
			for _, beam := range beams {
				for name, value := range map[string]string{"lm_weight": weight, "word_score": score, "beam": beam} {
					if value == "" {
						continue
					}
					if m.Manifest.Params[name], err = strconv.ParseFloat(value, 64); err != nil {
						return err
					}
					if name == "beam" {
						if m.Manifest.Params[name], err = strconv.Atoi(value); err != nil {
							return err
						}
					}
				}
				r, err := asr.New(m, nil)
				if err != nil {
					return err
				}
				for i, file := range files {
					wrong, words, seconds := 0, 0, 0.0
					var sure reliability
					began := time.Now()
					for k, x := range sets[i] {
						posteriors := asr.Posteriors{Classes: x.Classes, LogP: x.LogP}
						found := r.Words(0, posteriors)
						var heard []string
						for _, w := range found {
							heard = append(heard, w.Text)
						}
						want := strings.Fields(x.Written)
						edits, right := align(want, heard)
						wrong += edits
						words += len(want)
						for i, w := range found {
							sure.add(float64(w.Confidence), right[i])
						}
						if evidence != "" {
							if err := note(&notes, r.Evidence(posteriors), right); err != nil {
								return err
							}
						}
						seconds += float64(x.Steps) * .04
						if k < show {
							fmt.Printf("  said  %s\n  heard %s\n", x.Written, strings.Join(heard, " "))
						}
					}
					p := m.Manifest.Params
					fmt.Printf("%s: beam %v, lm_weight %v, word_score %v: WER %.4f of %d words; calibration error %.4f; %.4f of real time\n",
						file, p["beam"], p["lm_weight"], p["word_score"], float64(wrong)/float64(words), words, sure.expectedError(), time.Since(began).Seconds()/seconds)
				}
			}
		}
	}
	if evidence != "" {
		return os.WriteFile(evidence, notes.Bytes(), 0o644)
	}
	return nil
}

// note writes a line of JSON for each word.
func note(out *bytes.Buffer, all []asr.Evidence, right []bool) error {
	lines := json.NewEncoder(out)
	for i, e := range all {
		if err := lines.Encode(struct {
			asr.Evidence
			Right bool
		}{e, right[i]}); err != nil {
			return err
		}
	}
	return nil
}

// reliability counts words by confidence, in ten bins of equal width.
type reliability [10]struct{ words, right, sum float64 }

func (r *reliability) add(confidence float64, right bool) {
	b := &r[min(9, int(10*confidence))]
	b.words++
	b.sum += confidence
	if right {
		b.right++
	}
}

// expectedError is the mean distance between confidence and the share of right
// words in its bin (Guo et al. 2017).
func (r *reliability) expectedError() float64 {
	var off, words float64
	for _, b := range r {
		off += math.Abs(b.sum - b.right)
		words += b.words
	}
	return off / max(words, 1)
}

func read(file string) ([]recording, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []recording
	for b := bufio.NewReader(f); ; {
		line, err := b.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var r recording
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		r.LogP = make([]float32, r.Steps*r.Classes)
		if err := binary.Read(b, binary.LittleEndian, r.LogP); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
}

// align gives Levenshtein's distance in words, and which of heard are right in
// one alignment that attains it.
func align(want, heard []string) (int, []bool) {
	rows := make([][]int, len(want)+1)
	for i := range rows {
		rows[i] = make([]int, len(heard)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
			case want[i-1] == heard[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = 1 + min(rows[i-1][j-1], rows[i-1][j], rows[i][j-1])
			}
		}
	}
	right := make([]bool, len(heard))
	for i, j := len(want), len(heard); i > 0 && j > 0; {
		switch {
		case want[i-1] == heard[j-1]:
			right[j-1] = true
			i, j = i-1, j-1
		case rows[i][j] == rows[i-1][j-1]+1:
			i, j = i-1, j-1
		case rows[i][j] == rows[i-1][j]+1:
			i--
		default:
			j--
		}
	}
	return rows[len(want)][len(heard)], right
}
