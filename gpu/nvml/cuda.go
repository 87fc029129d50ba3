package nvml

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// The CUDA driver API, as far as it is needed: every function returns 0 when it succeeds.
typedef struct { unsigned char bytes[16]; } uuid;
typedef int (*init_function)(unsigned int flags);
typedef int (*count_function)(int *count);
typedef int (*get_function)(int *device, int ordinal);
typedef int (*uuid_function)(uuid *out, int device);

// -1: no library; -2: a function is missing; else CUDA's own error, 0 for none.
static int cuda_uuids(const char *library, uuid *out, int room, int *found) {
	void *cuda = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
	if (!cuda) return -1;
	init_function init = (init_function)dlsym(cuda, "cuInit");
	count_function count = (count_function)dlsym(cuda, "cuDeviceGetCount");
	get_function get = (get_function)dlsym(cuda, "cuDeviceGet");
	uuid_function name = (uuid_function)dlsym(cuda, "cuDeviceGetUuid_v2"); // knows MIG instances, since CUDA 11.4
	if (!name) name = (uuid_function)dlsym(cuda, "cuDeviceGetUuid");
	if (!init || !count || !get || !name) return -2;
	int n = 0, error = init(0);
	if (error || (error = count(&n))) return error;
	for (int i = 0; i < n && i < room; i++) {
		int device;
		if ((error = get(&device, i)) || (error = name(&out[i], device))) return error;
	}
	*found = n < room ? n : room;
	return 0; // the library stays: onnxruntime's CUDA provider uses it
}
*/
import "C"

import (
	"encoding/hex"
	"fmt"
	"unsafe"

	"github.com/earshot-fm/earshot/gpu"
)

const mostGPUs = 64

// cudaUUIDs asks the CUDA driver for its GPUs in its own order, which
// CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER decide. It starts CUDA, which
// takes over signal handlers: handlers must be set up after it.
func cudaUUIDs() ([]string, error) { return uuidsOf("libcuda.so.1") }

func uuidsOf(library string) ([]string, error) {
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	var found C.int
	var raw [mostGPUs]C.uuid
	switch code := C.cuda_uuids(name, &raw[0], mostGPUs, &found); code {
	case 0:
	case -1:
		return nil, fmt.Errorf("nvml: load %s: %w", library, gpu.ErrNoDriver)
	case -2:
		return nil, fmt.Errorf("nvml: %s is no CUDA driver", library)
	default:
		return nil, fmt.Errorf("nvml: %s: CUDA error %d", library, int(code))
	}
	out := make([]string, found)
	for i := range out {
		out[i] = hex.EncodeToString(C.GoBytes(unsafe.Pointer(&raw[i]), 16))
	}
	return out, nil
}
