package model

import (
	"time"

	"spillway/internal/fault"
)

// schedule lays the scenario's config changes and faults into the run. Of faults
// of one kind a later one takes the place of the earlier.
func (e *evening) schedule() {
	for _, c := range e.sc.ChangesWithin() {
		next := c.Runtime
		e.kernel.AtPriority(c.At, first, func() { e.admission.change(next, e.kernel.Now()) })
	}
	latest := map[string]int{}
	for n, f := range e.sc.FaultsWithin() {
		e.kernel.AtPriority(f.At, first, func() {
			latest[f.Kind] = n
			e.fault(f.Kind, f.Amount, true)
		})
		e.kernel.AtPriority(f.At+f.For, first, func() {
			if latest[f.Kind] == n {
				e.fault(f.Kind, 0, false)
			}
		})
	}
}

// fault begins a fault, or ends it with an amount of 0. A writer's stop has no
// amount.
func (e *evening) fault(kind string, amount float64, begins bool) {
	switch kind {
	case fault.WriterStop:
		if e.direct {
			return // there is no writer
		}
		if begins {
			e.ledger.stop()
		} else {
			e.ledger.resume()
		}
	case fault.SlowStore:
		e.slow = time.Duration(amount * 1e9)
	case fault.InstanceLoss:
		e.gateway.setUp(max(len(e.gateway.instances)-int(amount), 1))
	}
}
