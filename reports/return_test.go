package reports

import (
	"math"
	"testing"
	"time"

	"spillway/internal/record"
)

// What has doubled by the end is no return, and too few samples tell nothing.
func TestReturn(t *testing.T) {
	r := record.New(record.Header{From: -10 * time.Second, To: 1990 * time.Second, TimeScale: 2})
	for at := time.Duration(0); at < 1000*time.Second; at += 100 * time.Millisecond {
		v := 9.0
		if at >= 950*time.Second {
			v = 19
		} else if at >= 100*time.Second {
			v = 1e6
		}
		r.Samples[record.SampleGoroutines] = append(r.Samples[record.SampleGoroutines], record.Point{At: at, Value: v})
	}
	if v := Return(r, record.SampleGoroutines); !v.OK || math.Abs(v.V-2) > 1e-9 {
		t.Errorf("%+v, want 2", v)
	}
	if v := Return(r, record.SampleMemory); v.OK {
		t.Errorf("%+v without samples", v)
	}
	r.Header.Partial = true
	if v := Return(r, record.SampleGoroutines); v.OK {
		t.Errorf("%+v of a partial run", v)
	}
}
