package fault

import (
	"math"
	"strings"
	"testing"
)

// Every row can be found by each of its words and by no others, and says what the
// arms do.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Table {
		targets := r.Targets
		if len(targets) == 0 {
			targets = []string{""}
		}
		for _, target := range targets {
			if name := Name(r.Kind, target); seen[name] {
				t.Errorf("%s is in the table twice", name)
			} else {
				seen[name] = true
			}
			if got, err := Find(r.Kind, target); err != nil || got.Does != r.Does {
				t.Errorf("%s %s: found %q, %v", r.Kind, target, got.Does, err)
			}
		}
		if r.Does == "" || r.Embedded == "" || r.Deployment == "" || (r.Simulator == "") != (r.Why != "") {
			t.Errorf("%s %v does not say what each arm does", r.Kind, r.Targets)
		}
		if (r.Unit == "") != (r.Max == 0) || r.Default != 0 && (r.Default < r.Min || r.Default > r.Max) || (r.Unit == "") != (r.Amounts() == "") {
			t.Errorf("%s %v: amounts %v to %v %s, %v", r.Kind, r.Targets, r.Min, r.Max, r.Unit, r.Default)
		}
	}
}

func TestFindAndAmountRefuse(t *testing.T) {
	for _, c := range []struct{ kind, target, want string }{
		{"fire", "", `fault "fire": one of writer-stop, slow-store,`},
		{Kill, "", "fault kill: target is missing: one of gateway, writer, redis, database"},
		{Kill, "edge", `fault kill: target "edge": one of gateway, writer, redis, database`},
		{Outage, Redis, `fault outage: target "redis": it has none, leave it out`},
	} {
		if _, err := Find(c.kind, c.target); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.kind, c.target, err)
		}
	}
	for _, c := range []struct {
		kind, target string
		given, want  float64 // want NaN = refused
	}{
		{Kill, Gateway, 0, 1}, {Kill, Gateway, 3, 3}, {Kill, Gateway, 2.5, math.NaN()}, {Kill, Gateway, -1, math.NaN()},
		{Kill, Writer, 7, 0}, {SlowStore, "", 0, math.NaN()}, {SlowStore, "", 10, 10}, {SlowStore, "", math.Inf(1), math.NaN()},
		{SlowStore, "", math.NaN(), math.NaN()}, {ClockStep, "", -60, -60}, {AckLost, Redis, 1.01, math.NaN()},
	} {
		r, err := Find(c.kind, c.target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Amount(c.given)
		if math.IsNaN(c.want) != (err != nil) || err == nil && got != c.want {
			t.Errorf("%s of %v: %v, %v", Name(c.kind, c.target), c.given, got, err)
		}
	}
}
