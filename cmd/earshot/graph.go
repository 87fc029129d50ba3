package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
)

func newGraph(a *app) *cobra.Command {
	c := &cobra.Command{Use: "graph", Short: "Show or check the graph in force"}
	load := func() (*dag.Spec, error) {
		cfg, err := a.loadConfig()
		if err != nil {
			return nil, err
		}
		catalog, err := cfg.catalog()
		if err != nil {
			return nil, exit(exitUsage, err)
		}
		spec, err := cfg.spec(catalog)
		return spec, exit(exitUsage, err)
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "List the nodes, what each needs, and its model",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			spec, err := load()
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.json(graphDocument(spec))
			}
			printGraph(a.out, spec)
			return nil
		},
	}
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the configured graph",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			spec, err := load()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "the graph is good: %d nodes\n", len(spec.Nodes))
			return err
		},
	}
	a.modelsFlag(show)
	a.modelsFlag(check)
	c.AddCommand(show, check)
	return c
}

// graphNode is a node in graph show's JSON.
type graphNode struct {
	Name    string   `json:"name"`
	Needs   []string `json:"needs"`
	Model   string   `json:"model,omitempty"`
	Enabled bool     `json:"enabled"`
}

func graphDocument(spec *dag.Spec) []graphNode {
	var out []graphNode
	for _, n := range spec.Nodes {
		out = append(out, graphNode{n.Name, slices.Clone(n.Needs), n.Model, n.Enabled})
	}
	return out
}

func printGraph(w io.Writer, spec *dag.Spec) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tMODEL\tNEEDS")
	for _, n := range spec.Nodes {
		name := n.Name
		if !n.Enabled {
			name += " (off)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, n.Model, strings.Join(n.Needs, ", "))
	}
	_ = t.Flush() // w's errors are the terminal's
}
