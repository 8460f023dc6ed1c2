package record_test

import (
	"fmt"

	"spillway/internal/record"
)

func ExampleParseObjective() {
	o, err := record.ParseObjective("submit.queued.peak.p99 < 800ms")
	fmt.Println(o.Span, o.Outcome, o.Window, o.Stat, o.Op, o.Value, err)
	_, err = record.ParseObjective("submit.qeued.p99 < 800ms")
	fmt.Println(err)
	// Output:
	// submit queued peak p99 < 0.8 <nil>
	// objective "submit.qeued.p99 < 800ms": unknown outcome or window "qeued": did you mean "queued"?
}
