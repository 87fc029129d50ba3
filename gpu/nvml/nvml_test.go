package nvml

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/gpu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	first  = "GPU-11111111-2222-3333-4444-555555555555"
	second = "GPU-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// t4 is a GPU as the library tells of it. Tests change what it answers.
func t4(uuid, bus string) *mock.Device {
	return &mock.Device{
		GetUUIDFunc:    func() (string, nvml.Return) { return uuid, nvml.SUCCESS },
		GetNameFunc:    func() (string, nvml.Return) { return "Tesla T4", nvml.SUCCESS },
		GetMigModeFunc: func() (int, int, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED },
		GetMemoryInfoFunc: func() (nvml.Memory, nvml.Return) {
			return nvml.Memory{Total: 15 << 30, Used: 3 << 30, Free: 12 << 30}, nvml.SUCCESS
		},
		GetPciInfoFunc: func() (nvml.PciInfo, nvml.Return) {
			var info nvml.PciInfo
			for i := range bus {
				info.BusId[i] = int8(bus[i])
			}
			return info, nvml.SUCCESS
		},
		GetCudaComputeCapabilityFunc: func() (int, int, nvml.Return) { return 7, 5, nvml.SUCCESS },
		GetComputeRunningProcessesFunc: func() ([]nvml.ProcessInfo, nvml.Return) {
			return []nvml.ProcessInfo{
				{Pid: uint32(os.Getpid()), UsedGpuMemory: 1 << 30},
				{Pid: 4711, UsedGpuMemory: 2 << 30},
				{Pid: 4712, UsedGpuMemory: ^uint64(0)}, // not told
			}, nvml.SUCCESS
		},
		GetUtilizationRatesFunc: func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 75}, nvml.SUCCESS },
		GetTemperatureFunc:      func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS },
		GetPowerUsageFunc:       func() (uint32, nvml.Return) { return 69_500, nvml.SUCCESS },
		GetCurrentClocksThrottleReasonsFunc: func() (uint64, nvml.Return) {
			return nvml.ClocksEventReasonGpuIdle | nvml.ClocksEventReasonSwThermalSlowdown, nvml.SUCCESS
		},
		GetSupportedEventTypesFunc: func() (uint64, nvml.Return) {
			return nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError | nvml.EventTypePState, nvml.SUCCESS
		},
		RegisterEventsFunc: func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS },
	}
}

func machine(devices ...*mock.Device) *mock.Interface {
	return &mock.Interface{
		InitFunc:                   func() nvml.Return { return nvml.SUCCESS },
		ShutdownFunc:               func() nvml.Return { return nvml.SUCCESS },
		SystemGetDriverVersionFunc: func() (string, nvml.Return) { return "580.65.06", nvml.SUCCESS },
		DeviceGetCountFunc:         func() (int, nvml.Return) { return len(devices), nvml.SUCCESS },
		DeviceGetHandleByIndexFunc: func(i int) (nvml.Device, nvml.Return) {
			if devices[i] == nil {
				return nil, nvml.ERROR_GPU_IS_LOST
			}
			return devices[i], nvml.SUCCESS
		},
		EventSetCreateFunc: func() (nvml.EventSet, nvml.Return) { return eventless(), nvml.SUCCESS },
	}
}

func open(t *testing.T, lib *mock.Interface) *Prober {
	t.Helper()
	p, err := Open(t.Context(), Options{
		NVML: lib,
		CUDA: func() ([]string, error) { return []string{digits(second), digits(first)}, nil }, // not NVML's order
		Now:  func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestGPUsAreMatchedToCUDAByUUID(t *testing.T) {
	p := open(t, machine(t4(first, "00000000:00:1E.0"), t4(second, "00000000:00:1D.0")))
	got, err := p.Devices(t.Context())
	want := []gpu.Hardware{
		{UUID: second, Name: "Tesla T4", PCI: "00000000:00:1D.0", Driver: "580.65.06", Capability: "7.5", TotalBytes: 15 << 30, Device: "cuda:0"},
		{UUID: first, Name: "Tesla T4", PCI: "00000000:00:1E.0", Driver: "580.65.06", Capability: "7.5", TotalBytes: 15 << 30, Device: "cuda:1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestADividedGPUIsItsInstances(t *testing.T) {
	const instance = "MIG-99999999-2222-3333-4444-555555555555"
	whole, part := t4(first, "00000000:00:1E.0"), t4(instance, "")
	whole.GetMigModeFunc = func() (int, int, nvml.Return) {
		return nvml.DEVICE_MIG_ENABLE, nvml.DEVICE_MIG_ENABLE, nvml.SUCCESS
	}
	whole.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	whole.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i == 3 {
			return part, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	part.GetGpuInstanceIdFunc = func() (int, nvml.Return) { return 3, nvml.SUCCESS }
	part.GetComputeInstanceIdFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
	got, err := open(t, machine(whole)).Devices(t.Context())
	if err != nil || len(got) != 1 || got[0].UUID != instance || got[0].PCI != "00000000:00:1E.0" || got[0].Device != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadTellsMemoryUsersHeatAndPower(t *testing.T) {
	got, err := open(t, machine(t4(first, ""))).Read(t.Context(), first)
	want := gpu.Reading{
		TotalBytes: 15 << 30, UsedBytes: 3 << 30, FreeBytes: 12 << 30, OwnBytes: 1 << 30,
		Others: []gpu.Process{{PID: 4711, Bytes: 2 << 30}, {PID: 4712}},
		Busy:   0.75, Celsius: 61, Watts: 69.5, Throttled: []string{"thermal"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMemoryThatAnotherProcessTakesShowsInTheNextReading(t *testing.T) {
	d, used := t4(first, ""), uint64(0)
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) {
		return nvml.Memory{Total: 15 << 30, Used: used, Free: 15<<30 - used}, nvml.SUCCESS
	}
	p := open(t, machine(d))
	for _, used = range []uint64{1 << 30, 9 << 30} {
		if got, err := p.Read(t.Context(), first); err != nil || got.UsedBytes != int64(used) {
			t.Errorf("%d bytes are used, and Read gives %d, %v", used, got.UsedBytes, err)
		}
	}
}

func TestAGPUMayVanish(t *testing.T) {
	for _, gone := range []nvml.Return{nvml.ERROR_GPU_IS_LOST, nvml.ERROR_RESET_REQUIRED} {
		d, half := t4(first, ""), t4(second, "")
		half.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, gone }
		p := open(t, machine(nil, half, d)) // two have gone before
		if all, err := p.Devices(t.Context()); err != nil || len(all) != 1 || all[0].UUID != first {
			t.Errorf("Devices: %+v, %v", all, err)
		}
		d.GetMemoryInfoFunc = half.GetMemoryInfoFunc
		if _, err := p.Read(t.Context(), first); !errors.Is(err, gpu.ErrLost) {
			t.Errorf("Read: %v", err)
		}
	}
}

func TestAnErrorOfNVMLIsToldWithWhatWasAsked(t *testing.T) {
	d := t4(first, "")
	p := open(t, machine(d))
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_UNKNOWN }
	_, err := p.Read(t.Context(), first)
	if err == nil || errors.Is(err, gpu.ErrLost) || errors.Is(err, gpu.ErrNoAnswer) || !strings.Contains(err.Error(), "read the memory of "+first) {
		t.Errorf("Read: %v", err)
	}
}

func TestWithoutADriver(t *testing.T) {
	for name, change := range map[string]func(*mock.Interface){
		"no library": func(lib *mock.Interface) {
			lib.InitFunc = func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }
		},
		"no driver": func(lib *mock.Interface) {
			lib.InitFunc = func() nvml.Return { return nvml.ERROR_DRIVER_NOT_LOADED }
		},
	} {
		lib := machine()
		change(lib)
		if _, err := Open(t.Context(), Options{NVML: lib, CUDA: func() ([]string, error) { return nil, nil }}); !errors.Is(err, gpu.ErrNoDriver) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), Options{}); err != nil && !errors.Is(err, gpu.ErrNoDriver) {
		t.Errorf("on this machine: %v", err)
	}
}

func TestACallThatHangsHoldsUpNobody(t *testing.T) {
	d, answer := t4(first, ""), make(chan struct{})
	p := open(t, machine(d))
	entered := make(chan struct{})
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
		close(entered)
		<-answer
		return nvml.Utilization{}, nvml.SUCCESS
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := p.Read(ctx, first); !errors.Is(err, gpu.ErrNoAnswer) {
		t.Errorf("Read: %v", err)
	}
	// The next one does not even ask.
	if _, err := p.Read(ctx, first); !errors.Is(err, gpu.ErrNoAnswer) {
		t.Errorf("a second Read: %v", err)
	}
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_UNKNOWN }
	close(answer)
	if _, err := p.Read(t.Context(), first); err != nil {
		t.Errorf("after the driver has come back: %v", err)
	}
}

// A driver library of our own stands in for libcuda.so.1: what is tested is
// the loading and the calls.
func TestCUDAsOrderIsAskedOfItsDriver(t *testing.T) {
	compile := func(t *testing.T, source string) string {
		t.Helper()
		folder := t.TempDir()
		library := filepath.Join(folder, "libcuda.so")
		if err := os.WriteFile(filepath.Join(folder, "cuda.c"), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, filepath.Join(folder, "cuda.c")).CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
		return library
	}
	const twoGPUs = `
		#include <string.h>
		int cuInit(unsigned int flags) { return 0; }
		int cuDeviceGetCount(int *n) { *n = 2; return 0; }
		int cuDeviceGet(int *device, int i) { *device = 10 + i; return 0; }
		int cuDeviceGetUuid_v2(unsigned char *uuid, int device) { memset(uuid, device == 10 ? 0xab : 0xcd, 16); return 0; }`
	t.Run("two GPUs", func(t *testing.T) {
		got, err := uuidsOf(compile(t, twoGPUs))
		want := []string{"abababababababababababababababab", "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("a driver that fails", func(t *testing.T) {
		if got, err := uuidsOf(compile(t, "int cuInit(unsigned int f) { return 999; }\nint cuDeviceGetCount, cuDeviceGet, cuDeviceGetUuid;")); err == nil {
			t.Errorf("%v", got)
		}
	})
	t.Run("another library", func(t *testing.T) {
		if got, err := uuidsOf(compile(t, "int other(void) { return 0; }")); err == nil || errors.Is(err, gpu.ErrNoDriver) {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("none", func(t *testing.T) {
		if _, err := uuidsOf(filepath.Join(t.TempDir(), "libcuda.so")); !errors.Is(err, gpu.ErrNoDriver) {
			t.Errorf("%v", err)
		}
	})
}
