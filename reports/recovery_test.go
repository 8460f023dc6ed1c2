package reports_test

import (
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/reports"
)

// under is ten seconds of 100 requests each, with so many unknown ones and so old an
// entry in each second; the fault is from second 3 to 5.
func under(fault string, unknown []uint64, age []float64) *record.Record {
	r := record.New(record.Header{Scenario: "x", TimeScale: 2, To: 20 * time.Second, Vary: []record.Setting{{Key: reports.VaryFault, Value: fault}}})
	for s := range int32(10) {
		r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "queued", Group: "people", Second: s}).AddN(time.Millisecond, 100-unknown[s])
		r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "unknown", Group: "people", Second: s}).AddN(time.Millisecond, unknown[s])
		r.Samples[record.SampleQueueAge] = append(r.Samples[record.SampleQueueAge], record.Point{At: time.Duration(s)*time.Second + 500*time.Millisecond, Value: age[s]})
	}
	r.Samples[record.SampleDead] = []record.Point{{At: time.Second, Value: 0}, {At: 9 * time.Second, Value: 2}}
	r.Invariants = []record.Invariant{{Name: "lost", Broken: 1}, {Name: "balance"}}
	if fault != reports.NoFault {
		r.Marks[record.MarkFault], r.Marks[record.MarkFaultEnd] = 3*time.Second, 5*time.Second
	}
	return r
}

// The time to recover runs from the fault's end to the last figure that was worse than
// ever without the fault, and beyond luck.
func TestRecover(t *testing.T) {
	none := make([]uint64, 10)
	calmAge := []float64{0, 0, 0, 0, 0, 0, 1, 0, 0, 0}
	calm := under(reports.NoFault, none, calmAge)
	for _, c := range []struct {
		name    string
		unknown []uint64
		age     []float64
		want    float64 // -1 = not within the run
	}{
		{"nothing happened", none, calmAge, 0},
		{"the fault alone", []uint64{0, 0, 0, 50, 50, 0, 0, 0, 0, 0}, calmAge, 0},
		{"answers came back in the second after next", []uint64{0, 0, 0, 50, 50, 50, 50, 0, 0, 0}, calmAge, 2},
		{"a few are luck", []uint64{0, 0, 0, 50, 50, 5, 5, 5, 5, 5}, calmAge, 0},
		{"one more is not", []uint64{0, 0, 0, 50, 50, 0, 6, 0, 0, 0}, calmAge, 2},
		{"the queue was as old before", none, []float64{0, 0, 0, 1, 2, 1.2, 1, 1, 1, 1}, 0},
		{"the queue was older", none, []float64{0, 0, 0, 1, 2, 3, 2, 1, 1, 1}, 1.5},
		{"it never came back", []uint64{0, 0, 0, 50, 50, 50, 50, 50, 50, 50}, calmAge, -1},
		{"nor did the queue", none, []float64{0, 0, 0, 1, 2, 3, 4, 5, 6, 7}, -1},
	} {
		r := under("kill:writer", c.unknown, c.age)
		got := reports.Recover(calm, r)
		if c.want < 0 != got.Took.Unsure || c.want >= 0 && (!got.Took.OK || got.Took.V != c.want) {
			t.Errorf("%s: took %+v, want %v", c.name, got.Took, c.want)
		}
		if got.Broken["lost"] != 1 || got.Dead.V != 2 || got.Unknown != r.OutcomeCount("submit", "unknown") || got.Fault != "kill:writer" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	r := under("outage", none, calmAge)
	delete(r.Marks, record.MarkFaultEnd)
	if got := reports.Recover(calm, r).Took; got.OK || got.Unsure {
		t.Errorf("without a mark: %+v, want n/a", got)
	}
}

func TestFaultTable(t *testing.T) {
	none, age := make([]uint64, 10), make([]float64, 10)
	text := reports.FaultTable([]*record.Record{under(reports.NoFault, none, age), under("kill:redis", []uint64{0, 0, 0, 50, 50, 50, 50, 50, 50, 50}, age)}).Text()
	lines := strings.Split(text, "\n")
	if f := strings.Fields(lines[2]); f[0] != "none" || f[3] != "1" || f[1] != "n/a" || f[len(f)-1] != "–" {
		t.Errorf("%q", lines[2])
	}
	if !strings.HasPrefix(lines[3], "kill:redis") || !strings.HasSuffix(lines[3], "not within the run") {
		t.Errorf("%q", lines[3])
	}
}
