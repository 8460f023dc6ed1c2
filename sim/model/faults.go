package model

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"spillway/internal/fault"
	"spillway/scenarios"
)

// ErrFault says that the scenario names a fault that a simulation cannot do.
var ErrFault = errors.New("the simulator cannot do it")

// checkFaults refuses what the model has no layer for.
func checkFaults(sc *scenarios.Scaled, direct bool) error {
	for _, f := range sc.FaultsWithin() {
		row, err := fault.Find(f.Kind, f.Target)
		name := fault.Name(f.Kind, f.Target)
		switch {
		case err != nil:
			return err
		case row.Simulator == "":
			return fmt.Errorf("fault %s: %w: %s", name, ErrFault, row.Why)
		case direct && !slices.Contains([]string{fault.SlowStore, fault.InstanceLoss, fault.EdgeStale, fault.Outage}, f.Kind) && f.Target != fault.Gateway && f.Target != fault.VisitorGateway:
			return fmt.Errorf("fault %s: %w: without a queue every submit is one call of the database, which is slow or not", name, ErrFault)
		}
	}
	return nil
}

// schedule lays the scenario's config changes and faults into the run. Of faults
// of one kind and target a later one takes the place of the earlier.
func (e *evening) schedule() {
	for _, c := range e.sc.ChangesWithin() {
		next := c.Runtime
		e.kernel.AtPriority(c.At, first, func() { e.admission.change(next, e.kernel.Now()) })
	}
	active := map[string]scenarios.Fault{}
	latest := map[string]int{}
	for n, f := range e.sc.FaultsWithin() {
		name := fault.Name(f.Kind, f.Target)
		e.kernel.AtPriority(f.At, first, func() {
			latest[name], active[name] = n, f
			e.suffer(active)
			if f.Kind == fault.Kill && f.Target == fault.Gateway {
				e.gateway.forget()
			}
		})
		e.kernel.AtPriority(f.At+f.For, first, func() {
			if latest[name] == n {
				delete(active, name)
				e.suffer(active)
			}
		})
	}
}

// suffer makes of the evening what the faults under way make of it together.
func (e *evening) suffer(active map[string]scenarios.Fault) {
	writes, lost := true, 0
	e.slow, e.noRedis, e.fullRedis, e.edge.alone = 0, false, false, false
	for name, f := range active { // in no order: each sets a thing of its own, or the same
		switch name {
		case fault.SlowStore:
			e.slow = time.Duration(f.Amount * 1e9)
		case fault.InstanceLoss, fault.Name(fault.Kill, fault.Gateway):
			lost += int(f.Amount)
		case fault.Name(fault.Kill, fault.Redis):
			e.noRedis, writes = true, false
		case fault.Name(fault.Cut, fault.GatewayRedis):
			e.noRedis = true
		case fault.RedisFull:
			e.fullRedis, writes = true, false
		case fault.EdgeStale:
			e.edge.alone = true
		case fault.Outage, cutVisitors: // see outages
		case fault.Name(fault.Cut, fault.GatewayDatabase): // it is asked for nothing while Redis answers
		default:
			writes = false
		}
	}
	if stopped := e.ledger.stopped; stopped && writes {
		e.ledger.resume()
	} else if !stopped && !writes {
		e.ledger.stop()
	}
	if up := max(len(e.gateway.instances)-lost, 1); up != e.gateway.up {
		e.gateway.setUp(up)
	}
}

var cutVisitors = fault.Name(fault.Cut, fault.VisitorGateway)

// outage is a time in which no visitor's request reaches the service.
type outage struct{ from, to time.Duration }

// outages are known beforehand, so that whoever answers ahead of time can see them.
type outages []outage

func outagesOf(sc *scenarios.Scaled) (out outages) {
	for _, name := range []string{fault.Outage, cutVisitors} {
		var fs []scenarios.Fault
		for _, f := range sc.FaultsWithin() {
			if fault.Name(f.Kind, f.Target) == name {
				fs = append(fs, f)
			}
		}
		for i, f := range fs {
			o := outage{f.At, f.At + f.For}
			if i+1 < len(fs) { // takes its place
				o.to = min(o.to, fs[i+1].At)
			}
			out = append(out, o)
		}
	}
	return out
}

// at reports whether one is under way.
func (os outages) at(now time.Duration) bool {
	for _, o := range os {
		if o.from <= now && now < o.to {
			return true
		}
	}
	return false
}

// forget empties the copies of those instances that are down.
func (g *gateway) forget() {
	for i := range g.instances {
		if in := &g.instances[i]; !in.up {
			in.has = false
		}
	}
}
