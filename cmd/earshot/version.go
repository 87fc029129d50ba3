package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag/episode"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if a.format == "json" {
				return a.json(map[string]string{"version": version, "record": episode.Schema})
			}
			_, err := fmt.Fprintf(a.out, "earshot %s\n", version)
			return err
		},
	}
}

// json prints a value as the stable contract of -o json.
func (a *app) json(v any) error {
	b, err := episode.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.out.Write(b)
	return err
}

// jsonLine prints a value on a line of its own.
func (a *app) jsonLine(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(b, '\n'))
	return err
}
