package walls

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spillway/internal/record"
	"spillway/reference"
	"spillway/scenarios"
)

// may is the house: for every package of the project, the project packages that
// its non-test code may import. "*" is everything.
var may = map[string][]string{
	"":                            {"internal/cli"},
	"internal/booking":            {},
	"internal/clock":              {},
	"internal/draw":               {},
	"internal/containers":         {},
	"internal/fault":              {},
	"internal/netfault":           {"internal/clock", "internal/draw", "internal/booking"},
	"internal/policy":             {"internal/booking"},
	"internal/record":             {"internal/booking"},
	"internal/record/recordtest":  {"internal/record", "internal/booking"},
	"internal/wire":               {"internal/booking"},
	"scenarios":                   {"internal/fault", "internal/policy", "internal/record", "internal/draw", "internal/booking"},
	"scenarios/attack":            {"scenarios", "internal/fault", "internal/policy", "internal/clock", "internal/draw", "internal/booking", "internal/record", "internal/wire"},
	"internal/sweep":              {"scenarios", "internal/draw", "internal/record"},
	"sim/des":                     {"internal/clock"},
	"sim/window":                  {},
	"sim/station":                 {"sim/des", "internal/draw", "internal/record"},
	"reference/edge":              layer,
	"reference/admission":         layer,
	"reference/gateway":           layer,
	"reference/stock":             layer,
	"reference/stock/stocktest":   append([]string{"reference/stock"}, layer...),
	"reference/queue":             layer,
	"reference/queue/queuetest":   append([]string{"reference/queue"}, layer...),
	"reference/ledger":            layer,
	"reference/ledger/ledgertest": append([]string{"reference/ledger"}, layer...),
	"reference/lottery":           append([]string{"reference/lottery/beacon"}, layer...),
	"reference/lottery/beacon":    {},
	"reference/lottery/console":   {"reference/lottery", "reference/lottery/beacon", "internal/clock"},
	"reference/crashtest":         {},
	"reference": append([]string{"reference/edge", "reference/admission", "reference/gateway", "reference/stock",
		"reference/queue", "reference/ledger", "reference/lottery", "internal/fault", "internal/netfault"}, layer...),
	"reports":          {"internal/record", "internal/booking"},
	"reports/fairness": {"reports"},
	"reports/plot":     {"internal/record", "internal/booking", "reports", "reports/fairness"},
	"reports/page":     {"internal/record", "internal/booking", "reports", "reports/gate"},
	"reports/gate":     {"internal/record", "internal/booking", "reports"},
	"sim/model":        {"internal/fault", "sim/des", "sim/window", "internal/policy", "internal/draw", "internal/booking", "internal/record", "scenarios"},
	"sim":              {"sim/model", "scenarios", "internal/record", "internal/draw", "internal/booking"},
	"internal/cli":     {"*"},
	"internal/deploy":  {"internal/clock", "internal/fault", "internal/wire"},
	"internal/walls":   {},
}

// layer is what one layer of the reference backend may import: never another layer.
var layer = []string{"internal/policy", "internal/clock", "internal/draw", "internal/booking", "internal/wire"}

// never are walls on everything a package reaches, the standard library and
// modules included, each with its reason.
var never = []struct{ from, reaches, reason string }{
	{"internal/policy", "spillway/internal/clock", "a decision that can wait cannot be replayed"},
	{"internal/policy", "spillway/internal/draw", "a decision that can draw cannot be replayed"},
	{"internal/policy", "math/rand", "a decision that can draw cannot be replayed"},
	{"internal/policy", "math/rand/v2", "a decision that can draw cannot be replayed"},
	{"internal/draw", "math/rand/v2", "draws are keyed, never sequential"},
	{"reference", "spillway/scenarios", "a backend must not know the load to come"},
	{"reference", "spillway/internal/record", "a backend must not write its own verdict"},
	{"reference", "github.com/tsenart/vegeta/v12/lib", "vegeta belongs to the attack alone"},
	{"reference/lottery/beacon", "net", "a value is checked as it was recorded: what is fetched can differ for each who asks"},
	{"scenarios", "net/http", "a scenario describes a load, it does not make one"},
	{"scenarios", "spillway/internal/clock", "a scenario has no wall time"},
	{"scenarios/attack", "spillway/reference", "the attack knows a URL, not the backend"},
	{"reports", "spillway/scenarios", "reports read records and cannot tell which arm wrote one"},
	{"reports/plot", "spillway/scenarios", "reports read records and cannot tell which arm wrote one"},
	{"reports/page", "spillway/scenarios", "reports read records and cannot tell which arm wrote one"},
	{"reports/gate", "spillway/scenarios", "reports read records and cannot tell which arm wrote one"},
	{"internal/record", "net/http", "a record is data"},
	{"sim", "net/http", "a prediction sends nothing"},
	{"sim", "spillway/reference", "a prediction that executes what it predicts is a measurement"},
	{"sim", "spillway/scenarios/attack", "a prediction that executes what it predicts is a measurement"},
	{"sim", "math/rand/v2", "draws are keyed, never sequential"},
	{"sim/station", "net/http", "a prediction that executes what it predicts is a measurement"},
	{"sim/des", "spillway/internal/booking", "the kernel is the oracle: it knows no model"},
	{"sim/window", "spillway/internal/booking", "the windows know no model"},
}

const module = "spillway"

func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v: %s", args, err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestHouse(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range list(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(words[0], module), "/")
		allowed, known := may[pkg]
		if !known {
			t.Errorf("package %q has no room in the house: add it to the table, with what it may import", pkg)
			continue
		}
		seen[pkg] = true
		for _, imp := range words[1:] {
			rel, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.Contains(allowed, rel) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which the house does not allow", pkg, rel)
			}
		}
	}
	for pkg := range may {
		if !seen[pkg] {
			t.Errorf("the table names package %q, which does not exist", pkg)
		}
	}
}

func TestWalls(t *testing.T) {
	deps := map[string][]string{}
	for _, w := range never {
		if deps[w.from] == nil {
			deps[w.from] = list(t, "-deps", "./"+w.from)
		}
		if slices.Contains(deps[w.from], w.reaches) {
			t.Errorf("%s reaches %s: %s", w.from, w.reaches, w.reason)
		}
	}
	for _, line := range list(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		if pkg := strings.Fields(line)[0]; strings.Contains(line, "vegeta") && pkg != module+"/scenarios/attack" {
			t.Errorf("%s imports vegeta: it belongs to scenarios/attack alone", pkg)
		}
	}
}

// wallTime lists the files outside tests that may read the wall clock or wait on
// it, each with its reason.
var wallTime = map[string]string{
	"internal/clock/clock.go":         "the door",
	"scenarios/attack/sleep.go":       "waits more precisely than a clock's AfterFunc can",
	"scenarios/attack/sleep_linux.go": "the same, by the kernel's own timer",
}

// inCLI: the command line speaks to people, who live in wall time.
const inCLI = "internal/cli/"

// TestWallTime finds calls that bring in wall time or global randomness.
func TestWallTime(t *testing.T) {
	banned := map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"},
		"rand": {"*"},
	}
	used := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || rel == "internal/tools" {
				return filepath.SkipDir
			}
			return nil
		}
		suite := strings.HasSuffix(filepath.Dir(rel), "test") // stocktest, queuetest, …: tests that several packages run
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") || strings.HasPrefix(rel, inCLI) || suite {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			if p := imp.Path.Value; p == `"math/rand"` || p == `"math/rand/v2"` {
				t.Errorf("%s imports %s: draws are keyed (internal/draw)", rel, p)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if ok && x.Obj == nil && slices.Contains(banned[x.Name], sel.Sel.Name) {
				if _, fine := wallTime[rel]; !fine {
					t.Errorf("%s calls %s.%s: take the time as an argument or from a clock.Clock", rel, x.Name, sel.Sel.Name)
				}
				used[rel] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for f := range wallTime {
		if !used[f] {
			t.Errorf("%s no longer reads wall time: take it off the list", f)
		}
	}
}

// The reference backend may not import package record, so it spells the names of
// its samples itself. They must be the same words.
func TestSampleNames(t *testing.T) {
	known := []string{record.SampleGatewayLoad, record.SampleGatewayRoom, record.SampleGatewayBusy, record.SampleRung,
		record.SampleStockFree, record.SampleClosedAge, record.SampleQueueDepth, record.SampleQueueAge, record.SampleDead,
		record.SampleWritten, record.SampleDatabaseWait, record.SampleEdgeHits, record.SampleEdgeMisses, record.SampleProbability,
		record.SampleMemory, record.SampleHeap, record.SampleGoroutines, record.SampleDescriptors}
	if got := reference.SampleNames(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(known))) {
		t.Errorf("the backend's samples are %v, the record's %v", got, known)
	}
	if got := reference.MarkNames(); !slices.Equal(got, []string{record.MarkSoldOut, record.MarkLastConfirmed}) {
		t.Errorf("the backend's marks are %v", got)
	}
	// One table of the layers' switches, told twice.
	words := slices.Sorted(slices.Values(scenarios.LayerWords()))
	if off := slices.Sorted(maps.Keys(reference.Layers)); !slices.Equal(words, off) {
		t.Errorf("scenarios switch %v, the backend %v", words, off)
	}
}

// TestAlone holds the packages that the race detector passes over, ALONE in the
// Makefile, to their word: neither they nor their tests nor what of the project is
// linked with them sets two things going side by side.
func TestAlone(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\nALONE ")
	line, _, _ := strings.Cut(rest, "\n")
	_, names, assigned := strings.Cut(line, "=")
	alone := strings.Fields(names)
	if !ok || !assigned || len(alone) == 0 {
		t.Fatal("the Makefile has no ALONE")
	}
	for _, pkg := range alone {
		seen := 0
		for _, line := range list(t, "-deps", "-test", "-f", `{{with .Module}}{{if .Main}}{{$.ImportPath}}|{{$.Dir}}|{{join $.GoFiles " "}}{{end}}{{end}}`, "./"+pkg) {
			parts := strings.Split(line, "|")
			if len(parts) != 3 || strings.HasSuffix(parts[0], ".test") { // of another module, or the tests' main
				continue
			}
			for name := range strings.FieldsSeq(parts[2]) {
				seen++
				for _, what := range sideBySide(t, filepath.Join(parts[1], name)) {
					t.Errorf("%s is passed over by the race detector, and %s %s in %s", pkg, parts[0], what, name)
				}
			}
		}
		if seen < 2 {
			t.Errorf("%s: %d files seen", pkg, seen)
		}
	}
}

// sideBySide says by what a file sets things going side by side.
func sideBySide(t *testing.T, file string) (found []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range f.Imports {
		if imp.Path.Value == `"net/http/httptest"` {
			found = append(found, "serves")
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "starts a goroutine")
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Go", "Parallel", "RunParallel", "AfterFunc"}, s.Sel.Name) {
				found = append(found, "calls "+s.Sel.Name)
			}
		}
		return true
	})
	return found
}

// What sets things going side by side is seen.
func TestSideBySideIsSeen(t *testing.T) {
	for text, want := range map[string]int{
		"func f() { go f() }":                           1,
		"func f() { wg.Go(f); time.AfterFunc(1, f) }":   2,
		"func f(t T) { t.Parallel(); b.RunParallel() }": 2,
		"import \"net/http/httptest\"":                  1,
		"func f() { f() }":                              0,
	} {
		file := filepath.Join(t.TempDir(), "x.go")
		if err := os.WriteFile(file, []byte("package x\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := sideBySide(t, file); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}
