package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/models/asr"
)

func newModelsGrammar(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "grammar ARPA FILE",
		Short: "Compile an n-gram model in ARPA's format, for a recogniser's grammar",
		Long: `Compile an n-gram model of two to five words in ARPA's format (KenLM's lmplz and
SRILM write it) to a file of about a tenth of its size that models load at once:
a recogniser of family ctc names it as parameters.grammar.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, files []string) error { return a.compileGrammar(files[0], files[1]) },
	}
}

// compileGrammar writes the compiled file beside its place first, so that a
// mistake in the ARPA file leaves what was there.
func (a *app) compileGrammar(arpa, to string) (err error) {
	in, err := os.Open(arpa)
	if err != nil {
		return exit(exitUsage, err)
	}
	defer in.Close()
	out, err := os.Create(to + ".part")
	if err != nil {
		return exit(exitUsage, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	err = asr.CompileARPA(in, out)
	if err = errors.Join(err, out.Close()); err != nil {
		return exit(exitUsage, fmt.Errorf("%s: %w", arpa, err))
	}
	if err := os.Rename(out.Name(), to); err != nil {
		return exit(exitUsage, err)
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s: %d bytes\n", to, info.Size())
	return err
}
