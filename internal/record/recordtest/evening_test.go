package recordtest_test

import (
	"testing"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

func TestEveningIsPlausible(t *testing.T) {
	r := recordtest.Evening(1)
	for _, g := range r.Groups {
		var sum uint64
		for _, n := range g.Finals {
			sum += n
		}
		if sum != g.Visitors {
			t.Errorf("group %s: finals sum to %d of %d", g.Name, sum, g.Visitors)
		}
	}
	if v := r.Stage(record.StageVisit, true); v < 50000 || v > 65000 {
		t.Errorf("%d visits", v)
	}
	if w, _ := r.MaxSample(record.SampleWritten); w != 756 {
		t.Errorf("%v rows written", w)
	}
	if d, _ := r.MaxSample(record.SampleQueueDepth); d < 100 || d > 200 {
		t.Errorf("queue depth %v", d)
	}
	var confirmed, pressers uint64
	for _, d := range r.Deciles {
		confirmed += d.Confirmed
		pressers += d.Pressers
	}
	if confirmed != 756 || pressers != r.Stage(record.StagePressed, true) {
		t.Errorf("deciles hold %d confirmed of %d pressers", confirmed, pressers)
	}
	t.Logf("stages %v", r.Groups)
	t.Logf("marks %v load %v", r.Marks, r.Header.Requested)
	if n := recordtest.Lossless(1).OutcomeCount("status", "timeout"); n < 1000 {
		t.Errorf("lossless: %d timeouts", n)
	}
}
