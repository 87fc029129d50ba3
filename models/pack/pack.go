// Package pack holds the built-in models, one folder each: the manifest
// (model.yaml), the ONNX file, what the task needs beside it, and the model
// card (README.md). The scripts that made them are in models/train.
package pack

import (
	"embed"
	"io/fs"
)

//go:embed earshot-*
var files embed.FS

// Files is the built-in models' folders, a source for models.LoadCatalog.
func Files() fs.FS { return files }
