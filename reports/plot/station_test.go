package plot

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestStationFigures(t *testing.T) {
	tail := func(x float64) float64 { return 0.6 * math.Exp(-x/0.01) }
	points := []TailPoint{{0.5, 0, 0}, {0.9, 0.018, 0.001}, {0.95, 0.025, 0.001}, {0.99, 0.041, 0.05}, {0.99, math.NaN(), 1}}
	f, err := StationTails("s · seed 1", "95 %", Tail{"wait", points, tail}, Tail{"sojourn", points, nil}, Tail{Name: "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"p99", "theory", "wait t (ms)", "sojourn t (ms)"} {
		if !bytes.Contains(f.SVG, []byte(want)) {
			t.Errorf("does not say %q", want)
		}
	}
	if strings.Contains(string(f.SVG), "NaN") || !strings.Contains(f.Caption, "do not wait at all") {
		t.Error("NaN, or no word about zeros")
	}
	again, err := StationTails("s · seed 1", "95 %", Tail{"wait", points, tail}, Tail{"sojourn", points, nil})
	if err != nil || !bytes.Equal(f.SVG, again.SVG) || !bytes.Equal(f.PNG, again.PNG) {
		t.Errorf("the same data give another drawing, or %v", err)
	}
	h, err := StationHeld("sub", "95 %", 2.5, []Held{{"wait mean", 0.3, 0.01}, {"utilisation", -1.4, 1e-9}, {"lost", math.Inf(1), 0.1}, {"unknown", math.NaN(), 0.1}, {"none", 1, math.Inf(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(h.SVG), "NaN") || strings.Contains(string(h.SVG), "unknown") || !strings.Contains(string(h.SVG), "lost") {
		t.Error("NaN, or the wrong rows")
	}
	c := Course{Title: "wait", Unit: " (ms)", Value: []float64{1, 2, math.NaN()}, Half: []float64{0.1, 3, math.NaN()}, Theory: []float64{1, math.NaN(), 3}}
	w, err := StationCourses("sub", "95 %", "station.service.mean", "s", []float64{0.1, 0.2, 0.3}, []Course{c, {Title: "zero", Value: make([]float64, 3), Half: make([]float64, 3), Theory: make([]float64, 3)}})
	if err != nil || strings.Contains(string(w.SVG), "NaN") || strings.Contains(string(w.SVG), "zero") || !strings.Contains(string(w.SVG), "station.service.mean (s)") {
		t.Errorf("%v", err)
	}
	if _, err := StationCourses("", "95 %", "k", "", []float64{1}, []Course{c}); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if _, err := StationHeld("", "95 %", 2.5, nil); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if _, err := StationTails("", "95 %", Tail{Name: "wait", Points: []TailPoint{{0.5, 0, 0}}}); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
}
