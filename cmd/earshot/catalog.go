package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/pack"
)

// modelsFlag gives a command --models.
func (a *app) modelsFlag(c *cobra.Command) {
	c.Flags().StringArrayVar(&a.models, "models", nil, "a model's folder, or a folder of them: each takes over the node of its task; may be repeated")
}

// catalog loads the built-in models, those of the configured folders and those
// of --models.
func (c *config) catalog() (*models.Catalog, error) {
	sources := []fs.FS{pack.Files()}
	for _, dir := range c.Models.Folders {
		if err := isFolder("config: models.folders:", dir); err != nil {
			return nil, err
		}
		sources = append(sources, models.Dir(dir))
	}
	if _, err := os.Stat(c.added); err == nil {
		sources = append(sources, models.Dir(c.added))
	}
	for _, dir := range c.chosen {
		if err := isFolder("--models", dir); err != nil {
			return nil, err
		}
		sources = append(sources, models.Dir(dir))
	}
	catalog, err := models.LoadCatalog(sources...)
	return catalog, exit(exitUsage, err)
}

// isFolder checks a folder that a flag or a field names.
func isFolder(where, dir string) error {
	if found, err := os.Stat(dir); err != nil {
		return exit(exitUsage, fmt.Errorf("%s %w", where, err))
	} else if !found.IsDir() {
		return exit(exitUsage, fmt.Errorf("%s %s: it is a file: name the folder that has its %s", where, dir, models.ManifestFile))
	}
	return nil
}

// modelsIn are the models of a folder of --models: one at least.
func modelsIn(dir string) ([]*models.Model, error) {
	own, err := models.LoadCatalog(models.Dir(dir))
	if err == nil && len(own.All()) == 0 {
		err = fmt.Errorf("--models %s: no model is there: neither it nor a folder in it has a %s", dir, models.ManifestFile)
	}
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return own.All(), nil
}

// spec reads the graph in force, in terms of the catalog's models.
func (c *config) spec(catalog *models.Catalog) (*dag.Spec, error) {
	byTask := map[string][]string{}
	for _, m := range catalog.All() {
		for _, task := range tasksOf(m) {
			byTask[task] = append(byTask[task], catalog.References(m)...)
		}
	}
	v := enrich.Vocabulary(byTask)
	var spec *dag.Spec
	var err error
	if c.Graph.Kind == 0 {
		spec, err = dag.ParseSpec(enrich.DefaultGraph, v)
	} else {
		spec, err = dag.DecodeSpec(&c.Graph, v)
	}
	if err == nil {
		err = c.choose(spec, v)
	}
	if err != nil {
		return nil, err
	}
	return spec, enrich.Check(spec)
}

// choose gives the nodes their models of --models.
func (c *config) choose(spec *dag.Spec, v dag.Vocabulary) error {
	var errs []error
	taken := map[string]string{} // task -> model and folder
	for _, dir := range c.chosen {
		own, err := modelsIn(dir)
		if err != nil {
			errs = append(errs, err)
		}
		for _, m := range own {
			task := m.Manifest.Task
			this := fmt.Sprintf("%s (%s)", m.Manifest.Ref(), dir)
			i := slices.IndexFunc(spec.Nodes, func(n dag.NodeSpec) bool { return v.Nodes[n.Name].Task == task })
			switch {
			case i < 0:
				errs = append(errs, fmt.Errorf("--models %s: %s is a model for %s, and the graph has no such node", dir, m.Manifest.Ref(), task))
			case taken[task] != "" && taken[task] != this:
				errs = append(errs, fmt.Errorf("--models: %s and %s are both models for %s: give the folder of one, or choose with models.folders and graph.nodes.%s.model in the configuration", taken[task], this, task, spec.Nodes[i].Name))
			default:
				taken[task] = this
				spec.Nodes[i].Model, spec.Nodes[i].Enabled = m.Manifest.Ref(), true
			}
		}
	}
	return errors.Join(errs...)
}
