package model

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"spillway/internal/record"
	"spillway/scenarios"
)

// differences lists where two records differ, a line each.
func differences(a, b *record.Record) (out []string) {
	say := func(format string, args ...any) {
		if len(out) < 12 {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for _, k := range slices.Concat(a.Keys(), b.Keys()) {
		x, y := a.Hists[k], b.Hists[k]
		if x.Count() != y.Count() || x.Mean() != y.Mean() || x.Max() != y.Max() {
			say("%v: %d, mean %v, max %v · %d, mean %v, max %v", k, x.Count(), x.Mean(), x.Max(), y.Count(), y.Mean(), y.Max())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Counters)) {
		if !slices.Equal(a.Counters[name], b.Counters[name]) {
			say("counter %s: %v · %v", name, a.Counters[name], b.Counters[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Samples)) {
		x, y := a.Samples[name], b.Samples[name]
		if len(x) != len(y) {
			say("%d and %d samples %s", len(x), len(y), name)
			continue
		}
		for i := range x {
			if x[i] != y[i] {
				say("sample %s at %v: %v · %v", name, x[i].At, x[i].Value, y[i].Value)
				break
			}
		}
	}
	for i := range a.Groups {
		if x, y := fmt.Sprint(a.Groups[i]), fmt.Sprint(b.Groups[i]); x != y {
			say("%s\n%s", x, y)
		}
	}
	if x, y := fmt.Sprint(a.Deciles), fmt.Sprint(b.Deciles); x != y {
		say("%s · %s", x, y)
	}
	if x, y := fmt.Sprint(a.Marks, a.Invariants), fmt.Sprint(b.Marks, b.Invariants); x != y {
		say("%s · %s", x, y)
	}
	if x, y := fmt.Sprint(a.Header.Notes, a.Header.Requested), fmt.Sprint(b.Header.Notes, b.Header.Requested); x != y {
		say("%s · %s", x, y)
	}
	return out
}

func sameAsPlain(t *testing.T, sc *scenarios.Scaled, opts ...Options) {
	t.Helper()
	want := run(t, sc, Options{Plain: true})
	for _, opt := range opts {
		got := run(t, sc, opt)
		if want.Digest() == got.Digest() {
			continue
		}
		for _, d := range differences(want, got) {
			t.Errorf("windows of 2^%d ns, shards %d: plain · windows: %s", opt.windowShift, opt.shardBits, d)
		}
		if !t.Failed() {
			t.Error("the digests differ")
		}
	}
}

// Every shipped scenario, with each layer off in turn, gives the plain engine's
// record byte for byte, whatever the width of the windows and the number of shards.
func TestWindowsGiveThePlainRecord(t *testing.T) {
	for _, name := range scenarios.Names() {
		layers := append([]string{""}, scenarios.LayerWords()...)
		if testing.Short() && name != "smoke" {
			layers = layers[:1]
		}
		for _, layer := range layers {
			t.Run(name+"/"+layer, func(t *testing.T) {
				var set []string
				if layer != "" {
					set = []string{"layers." + layer, "off"}
				}
				sameAsPlain(t, scaled(t, name, 1.0/1000, 4, 3, set...), Options{}, Options{windowShift: 25, shardBits: 1}, Options{windowShift: 27, shardBits: 4})
			})
		}
	}
}
