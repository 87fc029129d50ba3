package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
)

func newModels(a *app) *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "List or verify the models"}
	load := func() (*models.Catalog, error) {
		cfg, err := a.loadConfig()
		if err != nil {
			return nil, err
		}
		catalog, err := cfg.catalog()
		return catalog, exit(exitUsage, err)
	}
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the models of the built-in pack and the configured folders",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			catalog, err := load()
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.json(modelList(catalog))
			}
			t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "MODEL\tTASK\tFAMILY\tPRECISION\tLANGUAGES\tLICENCE")
			for _, m := range modelList(catalog) {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Model, m.Task, m.Family, m.Precision, strings.Join(m.Languages, " "), m.Licence)
			}
			return t.Flush()
		},
	}, &cobra.Command{
		Use:   "verify [MODEL…]",
		Short: "Run models on fixed input: shapes, finiteness, and that a batch does not change its items, bit by bit",
		RunE: func(cmd *cobra.Command, refs []string) error {
			catalog, err := load()
			if err != nil {
				return err
			}
			chosen := catalog.All()
			if len(refs) > 0 {
				chosen = nil
				for _, ref := range refs {
					m, err := catalog.Get(ref)
					if err != nil {
						return exit(exitUsage, err)
					}
					chosen = append(chosen, m)
				}
			}
			runtime, err := ort.New(ort.Options{})
			if err != nil {
				return exit(exitMissingPart, err)
			}
			var errs []error
			for _, m := range chosen {
				v, err := models.Verify(cmd.Context(), runtime, m, "cpu")
				switch {
				case err != nil:
					errs = append(errs, err)
				case len(v.Faults) > 0:
					errs = append(errs, fmt.Errorf("%s: %s", m.Manifest.Ref(), strings.Join(v.Faults, "; ")))
				default:
					fmt.Fprintf(a.out, "%s: good (batches of %v on %s)\n", m.Manifest.Ref(), v.Batches, v.Build)
				}
			}
			return errors.Join(errs...)
		},
	})
	return c
}

// listedModel is a model in models list's JSON.
type listedModel struct {
	Model     string   `json:"model"` // name@version
	Task      string   `json:"task"`
	Family    string   `json:"family"`
	Precision string   `json:"precision"`
	Languages []string `json:"languages,omitempty"`
	Licence   string   `json:"licence"`
	SHA256    string   `json:"sha256"`
}

func modelList(c *models.Catalog) []listedModel {
	var out []listedModel
	for _, m := range c.All() {
		f := m.Manifest
		out = append(out, listedModel{f.Ref(), f.Task, f.Family, f.Precision, f.Languages, f.Licence, m.SHA256})
	}
	return out
}
