package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"spillway/scenarios"
)

var update = flag.Bool("update", false, "write the digests anew")

// The digests of some small records, kept in the tree: whoever runs the tests holds
// another machine against the one that wrote them. Both engines give them, on any
// number of cores.
func TestGoldenDigests(t *testing.T) {
	runs := []struct {
		name, scenario string
		people, k      float64
		settings       []string
	}{
		{"opening", "suikang-2020-01-31", 1.0 / 1000, 1, nil},
		{"opening at k = 4", "suikang-2020-01-31", 1.0 / 1000, 4, nil},
		{"the whole day", "suikang-2020-01-31", 1.0 / 2000, 1, []string{"window.from", "-2h", "window.to", "4h"}},
		{"a crowd", "suikang-2020-01-31", 1.0 / 100, 1, nil},
		{"lossless", "suikang-lossless", 1.0 / 1000, 1, nil},
		{"timed writer", "suikang-timed-writer", 1.0 / 1000, 1, nil},
		{"writer stop", "suikang-writer-stop", 1.0 / 1000, 1, nil},
		{"coin against bots", "suikang-bots", 1.0 / 1000, 1, []string{"admission.gate", "coin", "gateway.service_cv", "0.7 x"}},
		{"lottery", "suikang-lottery", 1.0 / 1000, 1, nil},
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var got strings.Builder
	for _, r := range runs {
		sc := scaled(t, r.scenario, r.people, r.k, 7, r.settings...)
		// Runs as small as these have one shard. The engine splits the large ones, by the
		// visits that are predicted and by the cores, and foresees answers in them: foretold
		// as large, a small one is split too, and has to take back what it foresaw.
		large := *sc
		large.Prediction.Visits = 20e6
		var first string
		for _, e := range []struct {
			name string
			sc   *scenarios.Scaled
			opt  Options
		}{{"the plain engine", sc, Options{Plain: true}}, {"one shard", sc, Options{}}, {"all shards", &large, Options{}}} {
			for _, procs := range []int{1, 2, 8} {
				if testing.Short() && procs < 8 {
					continue
				}
				runtime.GOMAXPROCS(procs)
				digest := run(t, e.sc, e.opt).Digest()
				if first == "" {
					first = digest
				}
				if digest != first {
					t.Errorf("%s: %.12s by %s on %d cores, the plain engine has %.12s", r.name, digest, e.name, procs, first)
				}
			}
		}
		fmt.Fprintf(&got, "%s  %s\n", first, r.name)
	}
	file := filepath.Join("testdata", "digests.txt")
	if *update && !t.Failed() { // digests on which the engines differ are nobody's
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if string(want) != got.String() {
		t.Errorf("this machine (%s/%s) gives\n%s\nthe one that wrote %s\n%s\nIf the model was changed on purpose, write them anew with -update.",
			runtime.GOOS, runtime.GOARCH, got.String(), file, want)
	}
}
