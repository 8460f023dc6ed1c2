package sim

import (
	"strings"
	"testing"
)

// A calibration of any bytes is refused in one line, or writes what reads again.
func FuzzParseCalibration(f *testing.F) {
	f.Add([]byte(`{"spillway_calibration":1,"network":{"seconds":0.0002,"n":5},"overhead":{"seconds":0.0004,"n":5},"edge_noise":[0.1]}`))
	f.Add([]byte(`{"spillway_calibration":1,"network":{"seconds":1e-4,"low":0,"high":1,"n":5,"of":"x"},"overhead":{"seconds":-1,"n":5},"gateway_noise":[1e300]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCalibration(text, "fuzz")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %q", err)
			}
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := parseCalibration(again, "fuzz"); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again)
		}
		_ = c.Options()
	})
}
