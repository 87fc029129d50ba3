package words

import (
	"fmt"

	"github.com/earshot-fm/earshot/models"
)

// TableRows reads parameters.rows, how many rows the table of a model has, of a
// task's model of family "hashed-words" that takes no other parameters.
func TableRows(m *models.Model, task string) (int, error) {
	var p struct {
		Rows int `yaml:"rows"`
	}
	f := &m.Manifest
	if err := models.DecodeParams(m, &p); err != nil {
		return 0, err
	}
	if f.Task != task || f.Family != "hashed-words" || p.Rows < 2 || len(f.Sessions) != 1 {
		return 0, fmt.Errorf("words: model %s: task %q, family %q, %d sessions, parameters.rows %d: want %s, hashed-words, one session, and 2 rows or more", f.Ref(), f.Task, f.Family, len(f.Sessions), p.Rows, task)
	}
	return p.Rows, nil
}
