// Command wer decodes the posteriors that models/train/asr/posteriors.py wrote
// with a model's lexicon and 3-gram, and prints the word error rate: for the
// model's own parameters, or for every pair of the weights that are asked for.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	flag.Parse()
	if err := run(*folder, split(*weights), split(*scores), split(*beams), *show, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "wer:", err)
		os.Exit(1)
	}
}

// split gives one empty choice where nothing was asked for.
func split(list string) []string { return strings.Split(list, ",") }

func run(folder string, weights, scores, beams []string, show int, files []string) error {
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
	}
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
					began := time.Now()
					for k, x := range sets[i] {
						var heard []string
						for _, w := range r.Words(0, asr.Posteriors{Classes: x.Classes, LogP: x.LogP}) {
							heard = append(heard, w.Text)
						}
						want := strings.Fields(x.Written)
						wrong += distance(want, heard)
						words += len(want)
						seconds += float64(x.Steps) * .04
						if k < show {
							fmt.Printf("  said  %s\n  heard %s\n", x.Written, strings.Join(heard, " "))
						}
					}
					p := m.Manifest.Params
					fmt.Printf("%s: beam %v, lm_weight %v, word_score %v: WER %.4f of %d words; %.4f of real time\n",
						file, p["beam"], p["lm_weight"], p["word_score"], float64(wrong)/float64(words), words, time.Since(began).Seconds()/seconds)
				}
			}
		}
	}
	return nil
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

// distance is Levenshtein's, in words.
func distance(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		above := row[0]
		row[0] = i + 1
		for j, y := range b {
			change := above
			if x != y {
				change++
			}
			above, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}
