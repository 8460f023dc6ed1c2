package reports

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func sampleStation() Station {
	fig := func(key, unit string, value, half, theory float64) StationFigure {
		return StationFigure{Key: key, Name: key, Unit: unit, Value: Got(value), Half: Got(half), Theory: Got(theory), Formula: "F", Book: "B"}
	}
	return Station{Name: "s", Title: "Title", Seed: 7, Setting: []string{"one server"}, Load: 0.9, Method: "independent replications", Blocks: 20, Customers: 100_000,
		WarmUp: 10_000, Chosen: true, Runs: 20, Confidence: 0.95, Wider: 2.5, Luck: 0.001, Figures: []StationFigure{
			fig("wait.mean", StationSeconds, 0.0037, 0.00018, 0.0036), fig("sojourn.mean", StationSeconds, 0.0137, 0.0001, 0.0139),
			fig("utilisation", StationShare, 0.9, 0.001, math.NaN()), fig("attempts", StationNumber, 1, 0, 1), fig("throughput", StationRate, 1441.5, 1.6, 1440),
			{Key: "wait.p99", Name: "wait p99", Unit: StationSeconds}}}
}

func TestStation(t *testing.T) {
	s := sampleStation()
	s.Judge()
	if known, inside, jointly := s.Agreement(); known != 4 || inside != 3 || jointly != 4 {
		t.Errorf("%d known, %d inside, %d jointly", known, inside, jointly)
	}
	if word, why, differs := s.Verdict(); word != "agrees with theory" || differs || !strings.Contains(why, "3 of the 4") {
		t.Errorf("%s: %s", word, why)
	}
	text := s.Text()
	for _, want := range []string{"3.70 ± 0.18 ms", "3.60 ms", "no, 2.0", "90.00 ± 0.10 %", "1441.5 ± 1.6/s", "too few samples", "F: B.", "first 10,000 of each replication", "by the rule", "95 % intervals"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	js, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(js), `"inside":false`) || !strings.Contains(string(js), `"value":null`) {
		t.Errorf("%s, %v", js, err)
	}

	s.Figures[1].Theory = Got(0.0141) // four half widths away
	if word, _, differs := s.Verdict(); word != "differs from theory" || !differs {
		t.Error(word)
	}
	s.Figures[3].Theory = Got(1.1) // no interval, and not the same
	if off, _ := s.Figures[3].Off(); !math.IsInf(off, 1) {
		t.Error(off)
	}
	s.Blocks = 2
	if word, _, differs := s.Verdict(); word != "cannot tell" || differs {
		t.Error(word)
	}
	for i := range s.Figures {
		s.Figures[i].Theory = Value{}
	}
	if word, _, differs := s.Verdict(); word != "no closed form" || differs {
		t.Error(word)
	}
	s.WarmUp, s.Runs, s.Method = 0, 1, "batch means"
	if m := s.Measured(); !strings.Contains(m, "no warm-up discarded") {
		t.Error(m)
	}
}
