package nvml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/earshot-fm/earshot/gpu"
)

// device is one that was found.
type device struct {
	gpu.Hardware
	handle nvml.Device
	whole  nvml.Device // the GPU that a MIG instance is a part of; else handle
	part   *part       // nil: a whole GPU
}

// part is where a MIG instance is on its GPU.
type part struct{ gpuInstance, computeInstance uint32 }

// find fills found.
func (p *Prober) find(cuda func() ([]string, error)) error {
	driver, r := p.lib.SystemGetDriverVersion()
	if r != nvml.SUCCESS {
		return failed("read the driver's version", r)
	}
	// NVML without CUDA still tells of memory and health.
	order, _ := cuda()
	count, r := p.lib.DeviceGetCount()
	if r != nvml.SUCCESS {
		return failed("count the GPUs", r)
	}
	for i := range count {
		whole, r := p.lib.DeviceGetHandleByIndex(i)
		if r == nvml.ERROR_NO_PERMISSION || isLost(r) {
			continue // of another container; or gone: the rest still serve
		}
		if r != nvml.SUCCESS {
			return failed(fmt.Sprintf("open GPU %d", i), r)
		}
		for _, d := range instances(whole) {
			err := d.describe(driver, order)
			if errors.Is(err, gpu.ErrLost) {
				continue
			}
			if err != nil {
				return err
			}
			p.found = append(p.found, d)
		}
	}
	slices.SortStableFunc(p.found, func(a, b device) int { return cmp.Compare(a.PCI, b.PCI) })
	return nil
}

// instances are a GPU's MIG instances, or itself where it is not divided.
func instances(whole nvml.Device) []device {
	if on, _, r := whole.GetMigMode(); r != nvml.SUCCESS || on != nvml.DEVICE_MIG_ENABLE {
		return []device{{handle: whole, whole: whole}}
	}
	var out []device
	most, _ := whole.GetMaxMigDeviceCount()
	for i := range most {
		handle, r := whole.GetMigDeviceHandleByIndex(i)
		if r != nvml.SUCCESS {
			continue
		}
		d := device{handle: handle, whole: whole, part: &part{everyInstance, everyInstance}}
		if id, r := handle.GetGpuInstanceId(); r == nvml.SUCCESS {
			d.part.gpuInstance = uint32(id)
		}
		if id, r := handle.GetComputeInstanceId(); r == nvml.SUCCESS {
			d.part.computeInstance = uint32(id)
		}
		out = append(out, d)
	}
	return out
}

// describe fills d's Hardware; order is CUDA's.
func (d *device) describe(driver string, order []string) error {
	var r nvml.Return
	if d.UUID, r = d.handle.GetUUID(); r != nvml.SUCCESS {
		return failed("read a GPU's UUID", r)
	}
	d.Driver = driver
	if i := slices.IndexFunc(order, func(u string) bool { return digits(u) == digits(d.UUID) }); i >= 0 {
		d.Device = fmt.Sprintf("cuda:%d", i)
	}
	if d.Name, r = d.handle.GetName(); r != nvml.SUCCESS {
		return failed("read the name of "+d.UUID, r)
	}
	memory, r := d.handle.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return failed("read the memory of "+d.UUID, r)
	}
	d.TotalBytes = int64(memory.Total)
	// These two decide nothing: an old driver may not tell.
	if info, r := d.whole.GetPciInfo(); r == nvml.SUCCESS {
		d.PCI = text(info.BusId[:])
	}
	if major, minor, r := d.whole.GetCudaComputeCapability(); r == nvml.SUCCESS {
		d.Capability = fmt.Sprintf("%d.%d", major, minor)
	}
	return nil
}

// digits of a UUID: CUDA gives it without "GPU-" or "MIG-".
func digits(uuid string) string {
	uuid = strings.ToLower(uuid)
	uuid = strings.TrimPrefix(strings.TrimPrefix(uuid, "gpu-"), "mig-")
	return strings.ReplaceAll(uuid, "-", "")
}

// text of a zero-terminated C string.
func text(chars []int8) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
