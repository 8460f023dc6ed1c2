package sim

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
)

// asMeasured is a simulation with known constants that looks like an attack.
func asMeasured(t *testing.T, opt Options) *record.Record {
	t.Helper()
	opt.Unscaled = true
	r := run(t, scaled(t, "suikang-sweep", 0, 0, 3), opt)
	late := r.Hist(record.Key{Span: record.SpanLateness, Clock: record.Response})
	late.AddN(130*time.Microsecond, 5000)
	return r
}

// Calibrate finds the constants that a run was made with.
func TestCalibrateFindsConstants(t *testing.T) {
	for _, x := range []struct{ network, overhead time.Duration }{
		{300 * time.Microsecond, 900 * time.Microsecond}, {50 * time.Microsecond, 2 * time.Millisecond},
	} {
		c, err := Calibrate(context.Background(), asMeasured(t, Options{Network: x.network, Overhead: x.overhead}))
		if err != nil {
			t.Fatal(err)
		}
		within := func(what string, e Estimated, want time.Duration) {
			// A histogram's bucket is 1/256 wide: of 5 to 20 ms that is 20 to 80 µs.
			if d := math.Abs(float64(e.Value - want)); d > float64(80*time.Microsecond) || e.Low > e.Value || e.High < e.Value || e.N < 100 {
				t.Errorf("%s: %v [%v, %v] of %d, want %v", what, e.Value, e.Low, e.High, e.N, want)
			}
		}
		within("network", c.Network, x.network)
		within("overhead", c.Overhead, x.overhead)
		if len(c.Steps) < 3 || len(c.Capacities) != 2 || len(c.From) != 1 {
			t.Errorf("%d steps, %d capacities, %d sources", len(c.Steps), len(c.Capacities), len(c.From))
		}
		for _, r := range c.Capacities {
			if r.Name == "ledger.rows/s" && (r.Low > r.Configured || r.High < r.Configured) {
				t.Errorf("the writer's %g rows/s lie outside [%g, %g]", r.Configured, r.Low, r.High)
			}
			if r.Name == "gateway.units/s" && (!r.LowerBound || r.Value > r.Configured) {
				t.Errorf("gateways %+v, they were never full", r)
			}
		}
	}
}

// The file gives back what was written; what is no such file is refused.
func TestCalibrationFile(t *testing.T) {
	c := &Calibration{Network: Estimated{Value: 200 * time.Microsecond, N: 40, Of: "x"}, Overhead: Estimated{N: 30}}
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "calibration.json")
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	got, err := ReadCalibration(name)
	if err != nil || got.Network != c.Network || got.Overhead != c.Overhead {
		t.Fatalf("%+v, %v", got, err)
	}
	if o := got.Options(); o.Network != 200*time.Microsecond || o.Overhead != -1 || !o.Unscaled {
		t.Errorf("options %+v", o)
	}
	for _, bad := range []string{"", "[]", "{}", `{"spillway_calibration":9}`, strings.Replace(string(text), "0.0002", "-1", 1), strings.Replace(string(text), "0.0002", "1e9", 1)} {
		write(bad)
		if _, err := ReadCalibration(name); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

// A run that proves nothing calibrates nothing.
func TestCalibrateRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*record.Record){
		"partial":   func(r *record.Record) { r.Header.Partial = true },
		"lagged":    func(r *record.Record) { r.Header.Saturated = true },
		"shard":     func(r *record.Record) { r.Header.Shards = 2 },
		"native":    func(r *record.Record) { r.Header.Native = true },
		"simulated": func(r *record.Record) { delete(r.Hists, record.Key{Span: record.SpanLateness, Clock: record.Response}) },
	} {
		r := asMeasured(t, Options{})
		spoil(r)
		if _, err := Calibrate(context.Background(), r); !errors.Is(err, ErrUnfit) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Calibrate(context.Background()); err == nil {
		t.Error("no record is no error")
	}
}

// The noise of a calibration moves response times by its own distribution, and
// nothing else.
func TestAsMeasured(t *testing.T) {
	r := asMeasured(t, Options{})
	edge := record.Select{Span: "config", Clock: record.Response, Outcomes: []string{"ok"}}
	was, service := r.Merged(edge), r.Merged(record.Select{Span: "config", Clock: record.Service}).Mean()
	c := &Calibration{}
	for i := range noiseSteps {
		c.EdgeNoise = append(c.EdgeNoise, float64(i)*1e-5) // uniform to 10 ms
		c.GatewayNoise = append(c.GatewayNoise, 0)
	}
	booked := r.Merged(record.Select{Span: record.SpanBooking}).Mean()
	c.AsMeasured(r)
	now := r.Merged(edge)
	for q, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.95: 9500 * time.Microsecond} {
		if d := now.Quantile(q) - was.Quantile(q) - want; d > 60*time.Microsecond || d < -60*time.Microsecond {
			t.Errorf("quantile %v moved by %v, want %v", q, now.Quantile(q)-was.Quantile(q), want)
		}
	}
	if now.Count() != was.Count() || r.Merged(record.Select{Span: "config", Clock: record.Service}).Mean() != service || r.Merged(record.Select{Span: record.SpanBooking}).Mean() != booked {
		t.Error("more than response times of calls has changed")
	}
	again := asMeasured(t, Options{})
	c.AsMeasured(again)
	if again.Digest() != r.Digest() {
		t.Error("equal records did not stay equal")
	}
}
