// Command generate makes what follows from the .proto files of deploy/schema:
// their Go code, and with -release the descriptors that later versions are held
// against. It refuses files that Pub/Sub would not take, and changes that break
// a released version. It needs nothing but Go modules. `make schema` runs it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	folder := flag.String("schema", "deploy/schema", "the folder of the .proto files")
	release := flag.String("release", "", "keep the descriptors as the released version of this name, v1.2 say")
	flag.Parse()
	if err := run(*folder, *release); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func run(folder, release string) error {
	tree := os.DirFS(folder)
	sources, err := read(tree)
	if err != nil {
		return err
	}
	set, err := compile(sources)
	if err != nil {
		return err
	}
	if err := check(tree, set); err != nil {
		return err
	}
	code, err := generate(set)
	if err != nil {
		return err
	}
	for name, content := range code {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	if release == "" {
		return nil
	}
	return keep(folder, release, set)
}

// read finds the .proto files of the tree: name, as others import it, and text.
func read(tree fs.FS) (map[string]string, error) {
	sources := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".proto" {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		sources[name] = string(text)
		return err
	})
	return sources, err
}

// compile turns the files into descriptors with their comments, in the order of
// their names, but for a file's imports, which come before it.
func compile(sources map[string]string) (*descriptorpb.FileDescriptorSet, error) {
	names := make([]string, 0, len(sources))
	for name := range sources {
		names = append(names, name)
	}
	slices.Sort(names)
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	parsed, err := c.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	added := map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if _, ours := sources[f.Path()]; !ours || added[f.Path()] {
			return
		}
		added[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	for _, f := range parsed {
		add(f)
	}
	return set, nil
}

// generate makes the Go code: name below the schema's folder, and content.
func generate(set *descriptorpb.FileDescriptorSet) (map[string][]byte, error) {
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative"), ProtoFile: set.File}
	for _, f := range set.File {
		request.FileToGenerate = append(request.FileToGenerate, f.GetName())
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	for _, f := range plugin.Files {
		gengo.GenerateFile(plugin, f)
	}
	response := plugin.Response()
	if response.Error != nil {
		return nil, fmt.Errorf("protoc-gen-go: %s", response.GetError())
	}
	code := map[string][]byte{}
	for _, f := range response.File {
		code[f.GetName()] = []byte(f.GetContent())
	}
	return code, services(request, code)
}

// services adds the code of the files' services, as connect's plugin, at the
// version in go.mod, makes it. A folder without services needs no plugin.
func services(request *pluginpb.CodeGeneratorRequest, code map[string][]byte) error {
	if !slices.ContainsFunc(request.ProtoFile, func(f *descriptorpb.FileDescriptorProto) bool { return len(f.Service) > 0 }) {
		return nil
	}
	request.Parameter = proto.String(request.GetParameter() + ",simple")
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	plugin := exec.Command("go", "tool", "protoc-gen-connect-go")
	plugin.Stdin, plugin.Stderr = bytes.NewReader(in), os.Stderr
	out, err := plugin.Output()
	if err != nil {
		return fmt.Errorf("go tool protoc-gen-connect-go: %w", err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return fmt.Errorf("protoc-gen-connect-go: what it wrote is no answer: %w", err)
	}
	if response.Error != nil {
		return fmt.Errorf("protoc-gen-connect-go: %s", response.GetError())
	}
	for _, f := range response.File {
		code[f.GetName()] = []byte(f.GetContent())
	}
	return nil
}

// check refuses files that Pub/Sub would not take, and those that break what
// was released.
func check(tree fs.FS, set *descriptorpb.FileDescriptorSet) error {
	now, err := descriptors(set)
	if err != nil {
		return err
	}
	faults := unfit(now)
	releases, err := fs.Glob(tree, "released/*.binpb")
	if err != nil {
		return err
	}
	for _, name := range releases {
		old, err := released(tree, name)
		if err != nil {
			return err
		}
		for _, fault := range broken(old, now) {
			faults = append(faults, strings.TrimSuffix(path.Base(name), ".binpb")+": "+fault)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("refused:\n%s", strings.Join(faults, "\n"))
	}
	return nil
}

// descriptors links the set's files.
func descriptors(set *descriptorpb.FileDescriptorSet) (files, error) {
	registry, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	linked := files{}
	registry.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		linked[f.Path()] = f
		return true
	})
	return linked, nil
}

func released(tree fs.FS, name string) (files, error) {
	b, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(b, set); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return descriptors(set)
}

var releaseName = regexp.MustCompile(`^v[0-9]+\.[0-9]+$`)

// keep writes the descriptors as protoc and buf do, without comments. What was
// released stays as it was.
func keep(folder, release string, set *descriptorpb.FileDescriptorSet) error {
	if !releaseName.MatchString(release) {
		return fmt.Errorf("%q names no release: want a name such as v1.2", release)
	}
	bare := proto.Clone(set).(*descriptorpb.FileDescriptorSet)
	for _, f := range bare.File {
		f.SourceCodeInfo = nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return err
	}
	name := filepath.Join(folder, "released", release+".binpb")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("release %s: %w; take the next name", release, err)
	}
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
