package host

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// group is one level of the cgroup that this process is in: its limits and
// those of the groups around it hold at once.
type group struct {
	folder string // in Options.Files
	v2     bool
}

// groups are the levels, from the process's own outwards as far as they are
// mounted; none where there is no cgroup with a memory controller. v1 goes
// first where both are mounted, as in memlimit. Source: cgroups(7).
func groups(files fs.FS) []group {
	b, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	place, v2, found := "", false, false
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy:controllers:place
		switch {
		case len(f) < 3:
		case f[0] != "0" && slices.Contains(strings.Split(f[1], ","), "memory"):
			place, v2, found = f[2], false, true
		case f[0] == "0" && f[1] == "" && !found:
			place, v2, found = f[2], true, true
		}
	}
	if !found {
		return nil
	}
	for _, m := range mounts(files, v2) {
		inside, err := filepath.Rel(m.root, place)
		if err != nil || !filepath.IsLocal(inside) {
			continue // of other groups
		}
		own := path.Join(m.point, inside)
		if s, err := fs.Stat(files, own); err != nil || !s.IsDir() {
			continue
		}
		var out []group
		for folder := own; ; folder = path.Dir(folder) {
			out = append(out, group{folder, v2})
			if folder == m.point || folder == "." {
				return out
			}
		}
	}
	return nil
}

// mount is where a part of a hierarchy of cgroups is seen.
type mount struct{ root, point string }

// escapes are how mountinfo writes what would end a field. Source: proc(5).
var escapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func mounts(files fs.FS, v2 bool) []mount {
	b, err := fs.ReadFile(files, "proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var out []mount
	for line := range strings.Lines(string(b)) {
		// … root point options [optional …] - type source super-options
		head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
		h, t := strings.Fields(head), strings.Fields(tail)
		if !ok || len(h) < 5 || len(t) < 3 {
			continue
		}
		if v2 && t[0] == "cgroup2" || !v2 && t[0] == "cgroup" && slices.Contains(strings.Split(t[2], ","), "memory") {
			out = append(out, mount{escapes.Replace(h[3]), path.Clean(strings.TrimPrefix(escapes.Replace(h[4]), "/"))})
		}
	}
	return out
}

// left is what a level's limit still allows, in bytes; false: it has none. The
// pages of files that nobody has used of late are dropped before anything is
// killed: they count as left.
func (g group) left(files fs.FS) (int64, bool) {
	limit, usage, inactive := "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
	if g.v2 {
		limit, usage, inactive = "memory.max", "memory.current", "inactive_file"
	}
	most, ok := g.number(files, limit)
	if !ok {
		return 0, false // "max"
	}
	used, ok := g.number(files, usage)
	if !ok {
		return 0, false
	}
	stat, _ := fs.ReadFile(files, path.Join(g.folder, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == inactive {
			n, _ := strconv.ParseInt(value, 10, 64)
			used = max(0, used-n)
		}
	}
	return max(0, most-used), true
}

func (g group) number(files fs.FS, name string) (int64, bool) {
	b, err := fs.ReadFile(files, path.Join(g.folder, name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}
