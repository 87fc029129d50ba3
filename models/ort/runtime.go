// Package ort is the onnxruntime driver: a models.Runtime that opens ONNX
// graphs with libonnxruntime, on the CPU or on an NVIDIA GPU. It owns every
// native handle it makes: a session may be closed at any time, and is freed
// when its last run has ended.
package ort

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/earshot-fm/earshot/models"
	onnx "github.com/yalue/onnxruntime_go"
)

// Options configures a Runtime. The zero value runs on the CPU with the
// library that Library finds.
type Options struct {
	Library string // path of libonnxruntime; empty: Library()

	// Threads inside one run. One is best while there are as many runs at a
	// time as cores, which is how the scheduler works.
	Threads int // 0: 1

	// OwnArenas gives each session on the CPU an arena of its own, which is gone
	// with it: for what is to leave nothing behind in the one that all share.
	OwnArenas bool

	// CUDA opens sessions on devices "cuda:0", "cuda:1", … (CUDA's order).
	CUDA bool
	// CUDAMemoryBytes bounds each session's arena on a GPU; 0: no bound.
	CUDAMemoryBytes int64
}

// Runtime opens sessions. It is safe for concurrent use.
type Runtime struct {
	options Options
	build   string
}

var _ models.FolderRuntime = (*Runtime)(nil)

// environment is onnxruntime's own state, of which a process can have one, for
// its whole life.
var environment struct {
	sync.Mutex
	library string // empty: not initialised yet
}

// New loads libonnxruntime, once per process. A second Runtime shares it and
// must name the same library.
func New(o Options) (*Runtime, error) {
	if o.Library == "" {
		path, err := Library()
		if err != nil {
			return nil, err
		}
		o.Library = path
	}
	o.Threads = max(1, o.Threads)
	if err := initialise(o.Library); err != nil {
		return nil, err
	}
	provider := "cpu"
	if o.CUDA {
		provider = "cuda"
	}
	return &Runtime{options: o, build: fmt.Sprintf("onnxruntime-%s+%s", onnx.GetVersion(), provider)}, nil
}

func initialise(library string) error {
	environment.Lock()
	defer environment.Unlock()
	switch environment.library {
	case library:
		return nil
	case "":
	default:
		return fmt.Errorf("ort: this process runs %s already and cannot load %s too", environment.library, library)
	}
	if err := giveBack(); err != nil {
		return err
	}
	onnx.SetSharedLibraryPath(library)
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelError()); err != nil {
		return fmt.Errorf("ort: load %s: %w (libonnxruntime 1.24 or newer is needed; `make setup` gets one)", library, err)
	}
	if err := shareArena(); err != nil {
		return errors.Join(fmt.Errorf("ort: set up %s: %w", library, err), onnx.DestroyEnvironment())
	}
	environment.library = library
	return nil
}

// shareArena gives all sessions on the CPU one arena that grows by what is
// asked for. Each session's own arena would double as it grows and keep its
// largest batch for ever.
func shareArena() error {
	memory, err := onnx.GetMemoryInfo()
	if err != nil {
		return err
	}
	const sameAsRequested, unset = 1, -1
	arena, err := onnx.NewArenaCfg(0, sameAsRequested, unset, unset)
	if err != nil {
		return err
	}
	defer arena.Destroy()
	return onnx.CreateAndRegisterAllocator(memory, arena)
}

// Build identifies onnxruntime's version and the execution provider:
// "onnxruntime-1.32.0+cpu".
func (r *Runtime) Build() string { return r.build }

// Open loads an ONNX graph onto device: "cpu", or with CUDA "cuda:N". A graph
// with tensors in other files, or with inputs or outputs that are no tensors
// of the types that models.Element lists, is refused.
func (r *Runtime) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	return r.open(ctx, graph, "", device)
}

// OpenIn is Open for a graph that may keep tensors in files of a folder. Whoever
// calls it has checked where their locations lead (models.Model.Open does).
func (r *Runtime) OpenIn(ctx context.Context, graph []byte, folder, device string) (models.Session, error) {
	return r.open(ctx, graph, folder, device)
}

func (r *Runtime) open(ctx context.Context, graph []byte, folder, device string) (models.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ort: open a session on %s: %w", device, err)
	}
	ports, err := models.ReadGraph(graph)
	if err != nil {
		return nil, fmt.Errorf("ort: open a session on %s: %w", device, err)
	}
	if len(ports.External) > 0 && folder == "" {
		return nil, fmt.Errorf("ort: the graph keeps tensors in other files (%s): export it with its tensors inside", strings.Join(ports.External, ", "))
	}
	for _, p := range append(append([]models.Port{}, ports.Inputs...), ports.Outputs...) {
		switch p.Type {
		case "float32", "int64", "int32", "uint8", "bool":
		default:
			return nil, fmt.Errorf("ort: the graph's port %q has type %q: export it with float32, int64, int32, uint8 or bool", p.Name, p.Type)
		}
	}
	options, err := r.sessionOptions(device)
	if err != nil {
		return nil, err
	}
	defer func() { _ = release(options.Destroy) }()
	if len(ports.External) > 0 {
		// onnxruntime_session_options_config_keys.h, since 1.20
		if err := options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder); err != nil {
			return nil, fmt.Errorf("ort: session options: %w", err)
		}
	}
	native, err := onnx.NewDynamicAdvancedSessionWithONNXData(graph, names(ports.Inputs), names(ports.Outputs), options)
	if err != nil {
		return nil, fmt.Errorf("ort: open a session on %s: %w", device, unopened(err))
	}
	live.Add(1)
	return &session{native: native, inputs: ports.Inputs, outputs: ports.Outputs}, nil
}

// unopened says what to do about a graph that onnxruntime does not know how to
// run; it gives its reasons as text only, with its own source lines.
func unopened(err error) error {
	for _, known := range []struct{ sign, advice string }{
		{"under development", "export the graph again with an older opset"},
		{"Unsupported model IR version", "export the graph again with an older version of onnx, or set an older ir_version"},
		{"is not a registered function/op", "export the graph without operators of its own"},
	} {
		if strings.Contains(err.Error(), known.sign) {
			return fmt.Errorf("%s (onnxruntime %s): %w", known.advice, onnx.GetVersion(), err)
		}
	}
	return classify(err)
}

func (r *Runtime) sessionOptions(device string) (_ *onnx.SessionOptions, err error) {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("ort: session options: %w", err)
	}
	live.Add(1)
	defer func() {
		if err != nil {
			_ = release(options.Destroy)
			err = fmt.Errorf("ort: session options for %s: %w", device, err)
		}
	}()
	err = errors.Join(
		options.SetIntraOpNumThreads(r.options.Threads),
		options.SetInterOpNumThreads(1),
		// Plans of memory are kept for each combination of input shapes, and batches come in many.
		options.SetMemPattern(false),
	)
	if !r.options.OwnArenas {
		err = errors.Join(err, options.AddSessionConfigEntry("session.use_env_allocators", "1"))
	}
	if err != nil {
		return nil, err
	}
	if device == "cpu" {
		return options, nil
	}
	index, ok := strings.CutPrefix(device, "cuda:")
	if _, parseErr := strconv.ParseUint(index, 10, 16); !ok || parseErr != nil || !r.options.CUDA {
		return nil, fmt.Errorf("no such device (this runtime has %s)", r.devices())
	}
	return options, r.appendCUDA(options, index)
}

func (r *Runtime) devices() string {
	if r.options.CUDA {
		return "cpu, cuda:0, cuda:1, …"
	}
	return "cpu"
}

func (r *Runtime) appendCUDA(options *onnx.SessionOptions, index string) error {
	cuda, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("CUDA provider (is this onnxruntime built with CUDA?): %w", err)
	}
	live.Add(1)
	defer func() { _ = release(cuda.Destroy) }()
	settings := map[string]string{
		"device_id": index,
		// Memory is given to models by a ledger: take what is asked for, not powers of two, and no free-for-all workspace.
		"arena_extend_strategy":        "kSameAsRequested",
		"cudnn_conv_use_max_workspace": "0",
		"cudnn_conv_algo_search":       "HEURISTIC",
	}
	if r.options.CUDAMemoryBytes > 0 {
		maps.Copy(settings, map[string]string{"gpu_mem_limit": strconv.FormatInt(r.options.CUDAMemoryBytes, 10)})
	}
	if err := cuda.Update(settings); err != nil {
		return fmt.Errorf("CUDA provider: %w", err)
	}
	return options.AppendExecutionProviderCUDA(cuda)
}

// CheckCUDA tells why this onnxruntime cannot use a GPU; nil: it can, and has
// loaded its CUDA provider.
func (r *Runtime) CheckCUDA() error {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return fmt.Errorf("ort: session options: %w", err)
	}
	live.Add(1)
	defer func() { _ = release(options.Destroy) }()
	if err := r.appendCUDA(options, "0"); err != nil {
		return fmt.Errorf("ort: onnxruntime %s at %s: %w", onnx.GetVersion(), r.options.Library, err)
	}
	return nil
}

func names(ports []models.Port) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}
