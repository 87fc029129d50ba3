package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

func newExplain(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain ID|FILE|URL",
		Short: "Say what became of each node in an episode's last run, and why",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, in []string) (err error) {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			state, err := a.stateFolder()
			if err != nil {
				return err
			}
			p, err := a.openPipeline(cmd.Context(), cfg, state)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.close(context.WithoutCancel(cmd.Context()))) }()
			id := episode.ID(in[0])
			if ev, err := eventFor(in[0]); err == nil {
				id = ev.ID
			}
			report, ok, err := p.graph().Last(cmd.Context(), id)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("explain: no run of %q in %s; 'earshot search' lists ids", in[0], state)
			}
			if a.format == "json" {
				return a.json(report)
			}
			fmt.Fprintf(a.out, "%s, %s, in %v\n", report.Subject, report.Started.Local().Format(time.DateTime), report.Took.Round(time.Millisecond))
			printDecisions(a.out, report)
			return nil
		},
	}
	a.modelsFlag(c)
	a.devicesFlag(c)
	return c
}

// printDecisions writes one line a node.
func printDecisions(w io.Writer, report dag.Report) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATUS\tTOOK\tKEY\tWHY")
	for _, d := range report.Decisions {
		took := ""
		if d.Ran > 0 {
			took = d.Ran.Round(time.Millisecond).String()
		}
		why := d.Reason
		if problem, ok := d.Detail["problem"].(string); ok {
			why += ": " + strings.ReplaceAll(problem, "\n", "; ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.12s\t%s\n", d.Node, d.Status, took, d.Key, why)
	}
	_ = t.Flush() // w's errors are the terminal's
}
