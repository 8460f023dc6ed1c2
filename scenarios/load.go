package scenarios

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

//go:embed *.yaml
var shipped embed.FS

// extendsMax bounds how many scenarios may extend each other in a row.
const extendsMax = 8

// Names lists the shipped evenings, in alphabetical order. The shipped stations
// are StationNames.
func Names() []string {
	return slices.DeleteFunc(shippedNames(), isStationName)
}

func shippedNames() []string {
	files, err := fs.Glob(shipped, "*.yaml")
	if err != nil { // the pattern is a constant
		return nil
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".yaml")
	}
	slices.Sort(files)
	return files
}

// Load reads and validates a scenario: a shipped one by name, or a file when the
// name ends in .yaml or .yml or has a path separator. It fails with one line
// that says where and what to do.
func Load(name string) (*Spec, error) {
	text, file, err := textOf(name)
	if err != nil {
		return nil, err
	}
	return Parse(text, file)
}

// textOf is a scenario's text and what its file is called.
func textOf(name string) (text []byte, file string, err error) {
	if !isPath(name) {
		text, err = shippedText(name)
		return text, name + ".yaml", err
	}
	text, err = readFile(name)
	return text, name, err
}

func isPath(name string) bool {
	return strings.ContainsAny(name, `/\`) || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func shippedText(name string) ([]byte, error) {
	text, err := shipped.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("unknown scenario %q%s (spillway scenario list shows the shipped ones; a file of your own ends in .yaml)",
			clip(name), didYouMean(name, shippedNames()))
	}
	return text, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("scenario %s: no such file", clip(name))
	case err != nil:
		return nil, fmt.Errorf("scenario %s: %s", clip(name), oneLine(err.Error()))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("scenario %s: not a file", clip(name))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %s", clip(name), oneLine(err.Error()))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, textMax+1)) // Parse refuses what is longer
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %s", clip(name), oneLine(err.Error()))
	}
	return text, nil
}

// Parse reads and validates a scenario text; file names it in errors, and a
// scenario file that it extends by a relative path is looked for beside it.
func Parse(text []byte, file string) (*Spec, error) {
	root, err := resolve(text, file, nil)
	if err != nil {
		return nil, err
	}
	if n := root.get("station"); n != nil {
		return nil, fmt.Errorf("%s: %w", n.at, ErrStation)
	}
	s := &Spec{}
	d := decoder{notes: map[string]Note{}, at: map[string]string{}}
	if err := d.section(reflect.ValueOf(s).Elem(), root, ""); err != nil {
		return nil, err
	}
	s.Notes, s.at = d.notes, d.at
	s.Text = s.render()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// resolve parses a text and lays it on what it extends.
func resolve(text []byte, file string, chain []string) (*node, error) {
	root, err := parseTree(text, file)
	if err != nil {
		return nil, err
	}
	if err := valuesOfFiles(root, file); err != nil {
		return nil, err
	}
	ext := root.get("extends")
	if ext == nil {
		return root, nil
	}
	base, baseFile := ext.text, ext.text
	switch {
	case ext.kind != scalar || strings.TrimSpace(base) == "":
		return nil, fmt.Errorf("%s: extends wants the name of a scenario", ext.at)
	case slices.Contains(chain, base):
		return nil, fmt.Errorf("%s: extends runs in a circle: %s", ext.at, clip(strings.Join(append(chain, base), " > ")))
	case len(chain) >= extendsMax:
		return nil, fmt.Errorf("%s: more than %d scenarios extend each other", ext.at, extendsMax)
	}
	var baseText []byte
	if isPath(base) {
		if !filepath.IsAbs(base) {
			baseFile = filepath.Join(filepath.Dir(file), base)
		}
		baseText, err = readFile(baseFile)
	} else {
		baseFile = base + ".yaml"
		baseText, err = shippedText(base)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: extends: %w", ext.at, err)
	}
	baseRoot, err := resolve(baseText, baseFile, append(chain, base))
	if err != nil {
		return nil, err
	}
	return merge(baseRoot, root.without("extends")), nil
}
