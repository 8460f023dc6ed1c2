package plot

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

// sweepOf makes a small sweep: every probability at every depth.
func sweepOf(seeds int, stock int, ps []float64, depths []int) []RunPoint {
	var recs []*record.Record
	for s := range seeds {
		for _, p := range ps {
			for _, d := range depths {
				rec := recordtest.Make(recordtest.Options{Seed: uint64(s + 1), Probability: p, Depth: d / 500, People: 0.002, Stock: stock, Bots: 10,
					Vary: []record.Setting{{Key: "admission.probability", Value: short(p*100) + "%"}, {Key: "queue.depth", Value: short(float64(d)) + " entries"}}})
				recs = append(recs, rec)
			}
		}
	}
	return Points(recs)
}

// everything renders each kind of figure once.
func everything(tb testing.TB) []Figure {
	tb.Helper()
	must := func(fs []Figure, err error) []Figure {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return fs
	}
	one := func(f Figure, err error) []Figure { tb.Helper(); return must([]Figure{f}, err) }

	evening, lossless := recordtest.Evening(1), recordtest.Lossless(1)
	out := must(All(evening))
	probabilities, depths := []float64{0.05, 0.1, 0.2, 0.5, 1}, []int{2000, 5000, 10000, 20000, 40000}
	byP, byQ := sweepOf(3, 0, probabilities, []int{20000}), sweepOf(1, 0, []float64{0.2}, depths)
	out = append(out, one(Curves(byP, "admission.probability"))...)
	out = append(out, one(Curves(byQ, "queue.depth"))...)
	// The diagonal of a grid is what a sample is: no two points share a value.
	var diagonal []RunPoint
	for i, p := range probabilities {
		diagonal = append(diagonal, sweepOf(2, 0, []float64{p}, depths[i:i+1])...)
	}
	cloud := one(Curves(diagonal, "admission.probability"))
	cloud[0].ID += "-cloud"
	if !bytes.Contains([]byte(cloud[0].Caption), []byte("A sample: each dot")) {
		tb.Errorf("a sample is drawn as a curve: %s", cloud[0].Caption)
	}
	out = append(out, cloud...)
	scarce, ample := sweepOf(1, 0, probabilities, depths), sweepOf(1, 600, probabilities, depths[1:])
	many := one(Curves(scarce, "admission.probability"))
	many[0].ID += "-lines"
	out = append(out, many...)
	out = append(out, must(Heat([]Set{{"scarce stock", scarce}, {"ample stock", ample}}, "admission.probability", "queue.depth"))...)
	alone := must(Heat([]Set{{"", scarce}}, "admission.probability", "queue.depth"))
	for i := range alone {
		alone[i].ID += "-alone"
	}
	out = append(out, alone...)
	seeded := must(Heat([]Set{{"", sweepOf(3, 0, probabilities[:3], depths[:3])}}, "admission.probability", "queue.depth"))
	if last := seeded[len(seeded)-1]; last.ID != "heat-collapse" {
		tb.Errorf("three seeds a cell draw no map of collapse, but %s", last.ID)
	}
	out = append(out, seeded[len(seeded)-1])
	metric, base, bars := gusts()
	out = append(out, one(Tornado(metric, base, bars))...)
	out = append(out, one(Versus(evening, lossless))...)
	recs := []*record.Record{recordtest.Make(recordtest.Options{Seed: 1, Bots: 50})}
	for _, l := range []string{"admission", "queue", "room", "edge"} {
		recs = append(recs, recordtest.Make(recordtest.Options{Seed: 1, Bots: 50, Off: []string{l}}))
	}
	out = append(out, one(Worth(recs))...)
	out = append(out, must(Fairness(lottery(tb, 1)))...)
	for _, f := range must(Fairness(lottery(tb, 0.6))) {
		f.ID += "-unfair"
		out = append(out, f)
	}
	for _, f := range must(All(lossless)) {
		f.ID = "lossless-" + f.ID
		out = append(out, f)
	}
	return out
}

// Each figure is well-formed, small enough, 1,920 pixels wide, and bears its title;
// with FIGS=DIR they are left there to be looked at.
func TestEveryFigure(t *testing.T) {
	if testing.Short() {
		t.Skip("renders every figure at full resolution")
	}
	seen := map[string]bool{}
	for _, f := range everything(t) {
		if seen[f.ID] {
			t.Errorf("two figures are called %s", f.ID)
		}
		seen[f.ID] = true
		texts := parse(t, f)
		if len(texts) < 5 || f.Title == "" || f.Caption == "" || texts[0] != f.Title {
			t.Errorf("%s: title %q, caption %q, %d texts", f.ID, f.Title, f.Caption, len(texts))
		}
		cfg, err := png.DecodeConfig(bytes.NewReader(f.PNG))
		if err != nil || cfg.Width != 1920 {
			t.Errorf("%s: png %d wide, %v", f.ID, cfg.Width, err)
		}
		if len(f.PNG) > 400_000 || len(f.SVG) > 400_000 {
			t.Errorf("%s: %d bytes of PNG, %d of SVG; 400,000 are allowed", f.ID, len(f.PNG), len(f.SVG))
		}
		if dir := os.Getenv("FIGS"); dir != "" {
			for ext, b := range map[string][]byte{".svg": f.SVG, ".png": f.PNG} {
				if err := os.WriteFile(filepath.Join(dir, f.ID+ext), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("%-34s %4d × %4d  svg %4d kB  png %4d kB", f.ID, cfg.Width, cfg.Height, len(f.SVG)/1000, len(f.PNG)/1000)
	}
}

// Drawing one run, and what it leaves out.
func ExampleAll() {
	figures, err := All(recordtest.Lossless(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range figures {
		fmt.Println(f.ID)
	}
	fmt.Println(Omitted(record.New(record.Header{}))[0])
	// Output:
	// flow
	// funnel
	// response
	// confirmation
	// queue
	// layers
	// amplification
	// lateness
	// figure flow: no data: no counters and no requests
}
