package plot

import (
	"errors"
	"math"
	"testing"

	"spillway/internal/record"
)

// gusts is a tornado whose numbers are known: the metric stands at 10.
func gusts() (Metric, RunPoint, []Bar) {
	m := constant
	m.Label, m.Unit = "Constant", "s"
	end := func(key, value string, vs ...float64) RunPoint {
		p := pointOf(vs...)
		p.Settings = []record.Setting{{Key: key, Value: value}}
		return p
	}
	return m, pointOf(9, 10, 11), []Bar{
		{Key: "weak", Low: end("weak", "1", 10), High: end("weak", "2", 11)},
		{Key: "unknown", Low: end("unknown", "1", -1), High: end("unknown", "2", -1)},
		{Key: "strong", Low: end("strong", "1 unit", 3, 4, 5), High: end("strong", "9 units", 12, 13, 14)},
		{Key: "one-sided", High: end("one-sided", "on", 14, 14, 14)},
		{Key: "nothing", Low: end("nothing", "1", 10), High: end("nothing", "2", 10)},
	}
}

func TestTornadoOrder(t *testing.T) {
	m, base, bars := gusts()
	want := []struct {
		key   string
		moves float64
	}{{"strong", -6}, {"one-sided", 4}, {"weak", 1}, {"nothing", 0}, {"unknown", math.Inf(-1)}}
	for i, b := range Sorted(m, base, bars) {
		if b.Key != want[i].key || b.Moves(m, base) != want[i].moves {
			t.Errorf("row %d: %s moves it by %g, want %s by %g", i, b.Key, b.Moves(m, base), want[i].key, want[i].moves)
		}
	}
	if bars[0].Key != "weak" {
		t.Error("the caller's bars were put in order")
	}
	if _, err := Tornado(m, pointOf(-1), bars); !errors.Is(err, ErrNoData) {
		t.Errorf("a base that cannot tell: %v", err)
	}
	if _, err := Tornado(m, base, bars[1:2]); !errors.Is(err, ErrNoData) {
		t.Errorf("bars that cannot tell: %v", err)
	}
}
