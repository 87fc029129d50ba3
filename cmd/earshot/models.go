package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
)

func newModels(a *app) *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "List, show, verify, measure or add models"}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the models of the built-in pack and the configured folders",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			catalog, err := a.loadCatalog()
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.json(modelList(catalog))
			}
			t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "MODEL\tTASK\tFAMILY\tPRECISION\tBATCH\tLANGUAGES\tLICENCE")
			for _, m := range modelList(catalog) {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Model, m.Task, m.Family, m.Precision, m.batch(), few(m.Languages, 8), m.Licence)
			}
			return t.Flush()
		},
	}
	device := "cpu"
	verify := &cobra.Command{
		Use:   "verify [MODEL…]",
		Short: "Run models on fixed input: shapes, finiteness, and that a batch does not change its items, bit by bit",
		Long: `Run models on fixed input, and check shapes, finiteness, and that an item's
output does not depend on the batch it travels in, bit by bit.

A graph that takes features is run on noise of its declared shapes. Then the
model's task is done for two fixed episodes of half a minute by the runner that
the pipeline uses, and the items that came of it are run again: in batches, and,
where the runner gives the place of an item that is done to another, in places
that others have left.

A model is run in each of its precisions; name@version:int8 is one of them alone.
What holds on the CPU need not on a GPU: --device cuda:0 runs it there. A model
that fails gets batch.fixed in its manifest.`,
		RunE: func(cmd *cobra.Command, refs []string) error {
			chosen, err := a.chooseModels(refs)
			if err != nil {
				return err
			}
			chosen = inEachPrecision(chosen, refs)
			if err := checkDevice(device); err != nil {
				return err
			}
			runtime, err := ort.New(ort.Options{CUDA: device != "cpu"})
			if err != nil {
				return exit(exitMissingPart, err)
			}
			var errs []error
			all := []verifiedModel{}
			for _, m := range chosen {
				v, err := verifyModel(cmd.Context(), runtime, m, device)
				if err != nil {
					v.Faults = append(v.Faults, err.Error())
				}
				if len(v.Faults) > 0 {
					errs = append(errs, fmt.Errorf("%s: %s", m.Manifest.Ref(), strings.Join(v.Faults, "; ")))
				} else if a.format != "json" {
					fmt.Fprintf(a.out, "%s: good (%s)\n", v.Model, v.told())
				}
				all = append(all, v)
			}
			if a.format == "json" {
				errs = append(errs, a.json(all))
			}
			return errors.Join(errs...)
		},
	}
	verify.Flags().StringVar(&device, "device", device, "cpu or cuda:N")
	show := &cobra.Command{
		Use:   "show MODEL",
		Short: "Say what a model is: licence, files, ports, labels, its card's beginning, and which nodes use it",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, refs []string) error {
			chosen, err := a.chooseModels(refs)
			if err != nil {
				return err
			}
			s, err := a.describe(chosen[0])
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.json(s)
			}
			return s.print(a.out)
		},
	}
	for _, sub := range []*cobra.Command{list, verify, show} {
		a.modelsFlag(sub)
		c.AddCommand(sub)
	}
	c.AddCommand(newModelsBench(a), newModelsAdd(a), newModelsGrammar(a))
	return c
}

func (a *app) loadCatalog() (*models.Catalog, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	return cfg.catalog()
}

// chooseModels finds models by their references; none means all that there are
// or, with --models, all of those folders.
func (a *app) chooseModels(refs []string) ([]*models.Model, error) {
	var chosen []*models.Model
	if len(refs) == 0 && len(a.models) > 0 {
		for _, dir := range a.models {
			if err := isFolder("--models", dir); err != nil {
				return nil, err
			}
			own, err := modelsIn(dir)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, own...)
		}
		return chosen, nil
	}
	catalog, err := a.loadCatalog()
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return catalog.All(), nil
	}
	for _, ref := range refs {
		m, err := catalog.Get(ref)
		if err != nil {
			if info, statErr := os.Stat(ref); statErr == nil && info.IsDir() {
				err = fmt.Errorf("%s is a folder: give it as --models %s", ref, ref)
			}
			return nil, exit(exitUsage, err)
		}
		chosen = append(chosen, m)
	}
	return chosen, nil
}

// inEachPrecision is each model in all its precisions, but for those whose
// reference pins one. refs are the models' own, or there are none.
func inEachPrecision(chosen []*models.Model, refs []string) []*models.Model {
	var all []*models.Model
	for i, m := range chosen {
		if i < len(refs) && strings.Contains(refs[i], ":") {
			all = append(all, m)
			continue
		}
		all = append(all, m.All()...)
	}
	return all
}

// listedModel is a model, in one of its precisions, in models list's JSON.
type listedModel struct {
	Model      string   `json:"model"` // name@version, of a variant name@version:precision
	Task       string   `json:"task"`
	Family     string   `json:"family"`
	Precision  string   `json:"precision"`
	Precisions []string `json:"precisions"` // that there are of the model, its own first
	BatchItems int      `json:"batch_items"`
	BatchFixed bool     `json:"batch_fixed"` // it always runs with so many items
	Languages  []string `json:"languages,omitempty"`
	Licence    string   `json:"licence"`
	SHA256     string   `json:"sha256"`
}

func listed(m *models.Model) listedModel {
	f := &m.Manifest
	return listedModel{f.Ref(), f.Task, f.Family, f.Precision, m.Precisions(), f.Batch.MaxItems, f.Batch.Fixed, f.Languages, f.Licence, m.SHA256}
}

// batch says how many items run together.
func (m listedModel) batch() string {
	if m.BatchFixed {
		return fmt.Sprintf("always %d", m.BatchItems)
	}
	return fmt.Sprintf("up to %d", m.BatchItems)
}

func modelList(c *models.Catalog) []listedModel {
	var out []listedModel
	for _, m := range inEachPrecision(c.All(), nil) {
		out = append(out, listed(m))
	}
	return out
}

// few shows the first of a list, and how many there are besides.
func few(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, " ")
	}
	return fmt.Sprintf("%s … (%d)", strings.Join(slices.Clone(list[:n]), " "), len(list))
}
