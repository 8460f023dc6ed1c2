package gate_test

import (
	"fmt"

	"spillway/internal/record"
	"spillway/reports/gate"
)

func ExampleJudge() {
	r := record.New(record.Header{Scenario: "smoke", People: 0.01, TimeScale: 1, Shards: 1, Margin: 6,
		Objectives: []string{"queue.depth.max <= 200", "invariant.oversell == 0"}})
	r.Samples[record.SampleQueueDepth] = []record.Point{{At: 0, Value: 199}}
	r.Invariants = []record.Invariant{{Name: "oversell"}}
	v := gate.Judge(r)
	fmt.Print(v.Text())
	fmt.Println("exit code", v.Code)
	// Output:
	// objective               measured  samples  status
	// queue.depth.max <= 200       199             held
	// invariant oversell      0 broken             held
	//
	// verdict: HELD. All 2 objectives and 1 invariants hold.
	// exit code 0
}
