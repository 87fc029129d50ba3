package main

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const folder = ".."

func compiled(t *testing.T, sources map[string]string) *descriptorpb.FileDescriptorSet {
	t.Helper()
	set, err := compile(sources)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func linked(t *testing.T, sources map[string]string) files {
	t.Helper()
	f, err := descriptors(compiled(t, sources))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheGoCodeIsThatOfTheDefinitions(t *testing.T) {
	sources, err := read(os.DirFS(folder))
	if err != nil {
		t.Fatal(err)
	}
	code, err := generate(compiled(t, sources))
	if err != nil {
		t.Fatal(err)
	}
	if len(code) != 6 {
		t.Errorf("%d files of code", len(code))
	}
	for name, want := range code {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run `make schema` (%v)", name, err)
		}
	}
}

func TestReleasedVersionsAreKept(t *testing.T) {
	tree := os.DirFS(folder)
	sources, err := read(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(tree, compiled(t, sources)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "released", "v1.0.binpb")); err != nil {
		t.Error(err)
	}
}

// base is a released version: it has one of each that may break.
const base = `syntax = "proto3";
package p;
message M {
  optional string id = 1;
  optional int64 size = 2;
  repeated string names = 3;
  repeated float values = 4;
  optional Kind kind = 5;
  optional Part part = 6;
  optional Part other = 7;
  reserved 9, 20 to max;
  reserved "gone";
  enum Kind {
    KIND_UNSPECIFIED = 0;
    KIND_A = 1;
    KIND_B = 2;
    reserved 7, 9 to 12;
    reserved "KIND_OLD";
  }
  message Part {
    optional string url = 1;
  }
  message Whole {
    optional string url = 1;
  }
}
`

func TestBreakingChangesAreRefused(t *testing.T) {
	old := linked(t, map[string]string{"m.proto": base})
	for _, c := range []struct{ name, from, to, want string }{
		{"a field is removed", "  optional int64 size = 2;\n", "", "p.M.size: removed"},
		{"removed, though reserved", "  optional int64 size = 2;\n", "  reserved 2; reserved \"size\";\n", "p.M.size: removed"},
		{"a nested field is removed", "  message Part {\n    optional string url = 1;", "  message Part {", "p.M.Part.url: removed"},
		{"renumbered", "size = 2", "size = 8", "p.M.size: renumbered from 2 to 8"},
		{"two change places", "  optional Part part = 6;\n  optional Part other = 7;", "  optional Part part = 7;\n  optional Part other = 6;", "p.M.part: renumbered from 6 to 7"},
		{"renamed", "int64 size = 2", "int64 bytes = 2", "p.M.size: renamed to bytes"},
		{"renamed in JSON alone", "size = 2", "size = 2 [json_name = \"n\"]", "p.M.size: renamed to size (n in JSON)"},
		{"another type", "int64 size", "string size", "p.M.size: was optional int64, set or not, is optional string"},
		{"another type of the same bytes", "int64 size", "uint64 size", "p.M.size: was"},
		{"another message", "Part other", "Whole other", "p.M.other: was optional message p.M.Part"},
		{"one becomes a list", "optional string id", "repeated string id", "p.M.id: was optional string, set or not, is repeated string"},
		{"a list becomes one", "repeated string names", "optional string names", "p.M.names: was repeated string"},
		{"unset is no longer told apart", "optional int64 size", "int64 size", "p.M.size: was optional int64, set or not, is optional int64"},
		{"packed otherwise", "values = 4", "values = 4 [packed = false]", "p.M.values: was repeated float, packed"},
		{"moved into a oneof", "optional string id = 1;", "oneof o { string id = 1; }", "p.M.id: was optional string, set or not, is optional string, set or not, of o"},
		{"an enum's value is removed", "    KIND_B = 2;\n", "", "p.M.KIND_B: removed"},
		{"an enum's value is renamed", "KIND_B", "KIND_C", "p.M.KIND_B: removed, or renamed"},
		{"an enum's value is renumbered", "KIND_B = 2", "KIND_B = 3", "p.M.KIND_B: renumbered from 2 to 3"},
		{"a new field that must be there", "  reserved 9,", "  int64 more = 8;\n  reserved 9,", "p.M.more: new, and not optional"},
		{"a new list", "  reserved 9,", "  repeated int64 more = 8;\n  reserved 9,", "p.M.more: new, and not optional"},
		{"a new field in a oneof", "  reserved 9,", "  oneof o { string more = 8; }\n  reserved 9,", "p.M.more: new, and not optional"},
		{"a number comes back", "  reserved 9, 20 to max;", "  optional int64 more = 9;\n  reserved 20 to max;", "p.M.more: its number or name is reserved"},
		{"a name comes back", "  reserved \"gone\";", "  optional int64 gone = 8;", "p.M.gone: its number or name is reserved"},
		{"a number is released", "reserved 9, 20 to max", "reserved 9, 20 to 30", "p.M: 31 is no longer reserved"},
		{"a name is released", "  reserved \"gone\";", "", `p.M: "gone" is no longer reserved`},
		{"an enum's number comes back", "reserved 7, 9 to 12;", "KIND_C = 7; reserved 9 to 12;", "p.M.KIND_C: its number or name is reserved"},
		{"an enum's number is released", "9 to 12", "9 to 10", "p.M.Kind: 11 is no longer reserved"},
		{"an enum's name is released", "    reserved \"KIND_OLD\";\n", "", `p.M.Kind: "KIND_OLD" is no longer reserved`},
		{"a message is removed", "  message Whole {\n    optional string url = 1;\n  }\n", "", "p.M.Whole: removed"},
		{"another package", "package p", "package q", "m.proto: its package or its syntax changed"},
		{"another syntax", `syntax = "proto3"`, `syntax = "proto2"`, "m.proto: its package or its syntax changed"},
	} {
		text := strings.Replace(base, c.from, c.to, 1)
		if text == base {
			t.Fatalf("%s: nothing changed", c.name)
		}
		if faults := strings.Join(broken(old, linked(t, map[string]string{"m.proto": text})), "\n"); !strings.Contains(faults, c.want) {
			t.Errorf("%s: %q, want %q", c.name, faults, c.want)
		}
	}
	if faults := broken(old, linked(t, map[string]string{"n.proto": base})); len(faults) != 1 || faults[0] != "m.proto: removed" {
		t.Errorf("the file is removed: %q", faults)
	}
}

const service = `syntax = "proto3";
package p;
message M {}
message N {}
service S {
  rpc Ask(M) returns (N);
  rpc Look(M) returns (stream N);
  rpc Find(M) returns (N) { option idempotency_level = NO_SIDE_EFFECTS; }
}
`

func TestCallsOfAReleasedServiceAreKept(t *testing.T) {
	old := linked(t, map[string]string{"s.proto": service})
	for _, c := range []struct{ from, to, want string }{
		{"  rpc Ask(M) returns (N);\n", "", "p.S.Ask: removed, or renamed"},
		{"rpc Ask", "rpc Tell", "p.S.Ask: removed, or renamed"},
		{"service S", "service T", "p.S.Ask: removed, or renamed"},
		{"Ask(M)", "Ask(N)", "p.S.Ask: was p.M to p.N, IDEMPOTENCY_UNKNOWN, is p.N to p.N"},
		{"Ask(M) returns (N)", "Ask(M) returns (M)", "p.S.Ask: was p.M to p.N"},
		{"Ask(M)", "Ask(stream M)", "p.S.Ask: was p.M to p.N, IDEMPOTENCY_UNKNOWN, is stream p.M to p.N"},
		{"returns (stream N)", "returns (N)", "p.S.Look: was p.M to stream p.N"},
		{" { option idempotency_level = NO_SIDE_EFFECTS; }", ";", "p.S.Find: was p.M to p.N, NO_SIDE_EFFECTS"},
	} {
		text := strings.Replace(service, c.from, c.to, 1)
		if faults := strings.Join(broken(old, linked(t, map[string]string{"s.proto": text})), "\n"); !strings.Contains(faults, c.want) {
			t.Errorf("%q for %q: %q, want %q", c.to, c.from, faults, c.want)
		}
	}
	more := strings.Replace(service, "  rpc Ask", "  rpc More(N) returns (M);\n  rpc Ask", 1)
	if faults := broken(old, linked(t, map[string]string{"s.proto": more})); faults != nil {
		t.Errorf("one more call: %q", faults)
	}
}

// The API may import, and have services; what binds later versions holds for it too.
func TestTheAPIIsNoPubSubSchema(t *testing.T) {
	sources := map[string]string{
		"earshot/api/v1/a.proto": `syntax = "proto3"; import "m.proto"; message A { optional M m = 1; } message B {} service S { rpc Ask(A) returns (B); }`,
		"m.proto":                `syntax = "proto3"; message M { optional string s = 1; }`,
	}
	if faults := unfit(linked(t, sources)); faults != nil {
		t.Errorf("%q", faults)
	}
	if set := compiled(t, sources); set.File[0].GetName() != "m.proto" {
		t.Errorf("%s comes before what it imports", set.File[0].GetName())
	}
	sources["earshot/api/v1/a.proto"] = `syntax = "proto3"; message A { string s = 1; }`
	if faults := unfit(linked(t, sources)); len(faults) != 1 || faults[0] != "A.s: is not optional" {
		t.Errorf("%q", faults)
	}
}

func TestChangesThatBreakNothingAreTaken(t *testing.T) {
	old := linked(t, map[string]string{"m.proto": base})
	for name, c := range map[string][2]string{
		"nothing":            {"", ""},
		"an optional field":  {"  reserved 9,", "  optional int64 more = 8;\n  reserved 9,"},
		"a list in its own":  {"  reserved 9,", "  optional More more = 8;\n  message More { repeated string names = 1; }\n  reserved 9,"},
		"an enum's value":    {"    KIND_B = 2;", "    KIND_B = 2;\n    KIND_C = 3;"},
		"more is reserved":   {"reserved 9, 20 to max", "reserved 9 to 10, 20 to 25, 26 to max"},
		"comments and order": {"  optional string id = 1;\n  optional int64 size = 2;", "  optional int64 size = 2; // bytes\n  optional string id = 1;"},
	} {
		if faults := broken(old, linked(t, map[string]string{"m.proto": strings.Replace(base, c[0], c[1], 1), "new.proto": "syntax = \"proto3\"; package p; message N {}"})); faults != nil {
			t.Errorf("%s: %q", name, faults)
		}
	}
}

func TestWhatPubSubWouldNotTakeIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`syntax = "proto2"; message M {}`:                   "f.proto: not proto3",
		`syntax = "proto3";`:                                "f.proto: a Pub/Sub schema has one",
		`syntax = "proto3"; message M {} message N {}`:      "f.proto: a Pub/Sub schema has one",
		`syntax = "proto3"; message M {} enum E { Z = 0; }`: "f.proto: a Pub/Sub schema has one",
		`syntax = "proto3"; import "google/protobuf/timestamp.proto"; message M { optional google.protobuf.Timestamp t = 1; }`: "f.proto: imports google/",
		`syntax = "proto3"; message M { string s = 1; }`:                                                                       "M.s: is not optional",
		`syntax = "proto3"; message M { message N { string s = 1; } }`:                                                         "M.N.s: is not optional",
		`syntax = "proto3"; message M { map<string, string> s = 1; }`:                                                          "M.s: is a map",
	} {
		set := compiled(t, map[string]string{"f.proto": text})
		if strings.Contains(text, "import") {
			set.File = append(compiled(t, map[string]string{"google/protobuf/timestamp.proto": timestamp}).File, set.File...)
		}
		now, err := descriptors(set)
		if err != nil {
			t.Fatal(err)
		}
		if faults := strings.Join(unfit(now), "\n"); !strings.Contains(faults, want) {
			t.Errorf("%s: %q, want %q", text, faults, want)
		}
	}
}

const timestamp = `syntax = "proto3"; package google.protobuf; message Timestamp { int64 seconds = 1; }`

// The program itself, on a folder of its own: it generates, releases once, and
// refuses what breaks the release.
func TestAReleaseBindsWhatFollows(t *testing.T) {
	dir := t.TempDir()
	const name = "a/b/v1/m.proto"
	text := strings.Replace(base, "package p;", "package p;\noption go_package = \"example.org/a/b/v1;v1\";", 1)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{path.Dir(name), "released"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	if err := run(dir, "v1.0"); err != nil {
		t.Fatal(err)
	}
	if code, err := os.ReadFile(filepath.Join(dir, "a/b/v1/m.pb.go")); err != nil || !strings.Contains(string(code), "package v1") {
		t.Errorf("%s %v", code, err)
	}
	if err := run(dir, "v1.0"); err == nil || !strings.Contains(err.Error(), "take the next name") {
		t.Errorf("released twice: %v", err)
	}
	if err := run(dir, "latest"); err == nil || !strings.Contains(err.Error(), "names no release") {
		t.Errorf("released as latest: %v", err)
	}
	write(strings.Replace(text, "size = 2", "size = 8", 1))
	if err := run(dir, ""); err == nil || !strings.Contains(err.Error(), "v1.0: p.M.size: renumbered from 2 to 8") {
		t.Errorf("renumbered: %v", err)
	}
	write(strings.Replace(text, "  reserved 9,", "  optional int64 more = 8;\n  reserved 9,", 1))
	if err := run(dir, "v1.1"); err != nil {
		t.Error(err)
	}
	write(text)
	if err := run(dir, ""); err == nil || !strings.Contains(err.Error(), "v1.1: p.M.more: removed") {
		t.Errorf("taken back: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "released/v1.1.binpb"))
	set := new(descriptorpb.FileDescriptorSet)
	if err != nil || proto.Unmarshal(b, set) != nil || len(set.File) != 1 || set.File[0].SourceCodeInfo != nil {
		t.Errorf("%v %v", set, err)
	}
	write("message {")
	if err := run(dir, ""); err == nil || !strings.Contains(err.Error(), name+":1:") {
		t.Errorf("no protobuf: %v", err)
	}
}
