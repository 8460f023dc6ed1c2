package cli

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// Two gateways on stores of the test: everything is accepted, and nothing is left in
// Redis.
func TestCurve(t *testing.T) {
	m := miniredis.RunT(t)
	dir := t.TempDir()
	code, out, errs := spillway("curve", "--redis", "redis://"+m.Addr(), "--db", "sqlite:"+filepath.Join(dir, "ledger.db"),
		"--gateways", "1,2", "--clients", "4", "--for", "300ms", "--json", "--out", filepath.Join(dir, "out"))
	var points []curvePoint
	if err := json.Unmarshal([]byte(out), &points); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	if len(points) != 2 || points[1].Gateways != 2 {
		t.Fatalf("%+v", points)
	}
	for _, p := range points {
		if p.SubmitsPerS <= 0 || p.P99Millis < p.P50Millis || p.P50Millis <= 0 || p.Refused != 0 {
			t.Errorf("%+v", p)
		}
	}
	if keys := m.Keys(); len(keys) > 0 {
		t.Errorf("left in Redis: %v", keys)
	}
	if !exists(filepath.Join(dir, "out", "curve.svg")) || !exists(filepath.Join(dir, "out", "curve.png")) {
		t.Error("no figure")
	}
}

func TestCurveRefuses(t *testing.T) {
	for _, args := range [][]string{{"--gateways", "2,1"}, {"--gateways", "0"}, {"--clients", "0"}, {"--for", "0s"}, {"--for", "2h"}} {
		code, _, errs := spillway(append([]string{"curve", "--redis", "redis://127.0.0.1:1", "--db", "sqlite:x"}, args...)...)
		if code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
		oneClearLine(t, errs)
	}
}
