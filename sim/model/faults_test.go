package model

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/scenarios"
)

// struck is the main scenario with faults of eight seconds from the rise on.
func struck(t *testing.T, faults ...scenarios.Fault) *scenarios.Scaled {
	t.Helper()
	spec, err := scenarios.Load("suikang-2020-01-31")
	if err != nil {
		t.Fatal(err)
	}
	for i := range faults {
		faults[i].At, faults[i].For = time.Duration(4+i)*time.Second, 8*time.Second
	}
	spec.Faults = faults
	spec.Edge.ConfigLife = 5 * time.Second // so that the edge would ask meanwhile
	return withSpec(t, spec, 1.0/500, 1, 3)
}

// each calls f for every fault that a simulation can do.
func each(f func(name string, in scenarios.Fault)) {
	for _, row := range fault.Table {
		if row.Simulator == "" {
			continue
		}
		amount := 0.0
		switch row.Unit {
		case fault.Seconds:
			amount = 0.1
		case fault.Instances:
			amount = 9
		}
		targets := row.Targets
		if len(targets) == 0 {
			targets = []string{""}
		}
		for _, target := range targets {
			f(fault.Name(row.Kind, target), scenarios.Fault{Kind: row.Kind, Target: target, Amount: amount})
		}
	}
}

// Under every fault the fast engine gives the plain engine's record byte for byte, and
// nothing is lost (the books of a run say so). Each fault but the one that meets
// nobody leaves a trace.
func TestWindowsGiveThePlainRecordUnderFaults(t *testing.T) {
	calm := run(t, struck(t), Options{}).Digest()
	each(func(name string, in scenarios.Fault) {
		t.Run(name, func(t *testing.T) {
			sc := struck(t, in)
			sameAsPlain(t, sc, Options{}, Options{windowShift: 25, shardBits: 1})
			if quiet := name == fault.Name(fault.Cut, fault.GatewayDatabase); quiet != (run(t, sc, Options{}).Digest() == calm) {
				t.Errorf("the record without the fault is the same: %v", !quiet)
			}
		})
	})
	t.Run("together", func(t *testing.T) {
		sameAsPlain(t, struck(t, scenarios.Fault{Kind: fault.Kill, Target: fault.Redis}, scenarios.Fault{Kind: fault.Kill, Target: fault.Gateway, Amount: 4},
			scenarios.Fault{Kind: fault.WriterStop}, scenarios.Fault{Kind: fault.InstanceLoss, Amount: 3}, scenarios.Fault{Kind: fault.SlowStore, Amount: 0.2},
			scenarios.Fault{Kind: fault.EdgeStale}, scenarios.Fault{Kind: fault.Outage}), Options{})
	})
}

// While Redis is away submits are unknown and nothing is written; afterwards both go on.
func TestKilledRedis(t *testing.T) {
	rec := run(t, struck(t, scenarios.Fault{Kind: fault.Kill, Target: fault.Redis}), Options{})
	if n := outcomes(rec, booking.Unknown, booking.StepSubmit); n == 0 {
		t.Error("no submit was unknown")
	}
	written := map[bool]float64{}
	for _, p := range rec.Samples[record.SampleWritten] {
		during := p.At > 14*time.Second && p.At < 22*time.Second
		if during && written[true] == 0 {
			written[true] = p.Value
		}
		if during && p.Value != written[true] {
			t.Errorf("%v rows at %v, %v when Redis went", p.Value, p.At, written[true])
			break
		}
		written[false] = p.Value
	}
	if written[false] != 151 {
		t.Errorf("%v of 151 rows at the end", written[false])
	}
}

// During an outage nothing reaches the gateways and every request fails, whichever of
// the two ways there are to cause one; afterwards those who were turned away come back.
func TestOutage(t *testing.T) {
	calm := run(t, struck(t), Options{})
	for _, in := range []scenarios.Fault{{Kind: fault.Outage}, {Kind: fault.Cut, Target: fault.VisitorGateway}} {
		rec := run(t, struck(t, in), Options{})
		for _, step := range []booking.Step{booking.StepConfig, booking.StepStatus, booking.StepCheck} {
			if outcomes(rec, booking.Failed, step) == 0 || outcomes(calm, booking.Failed, step) > 0 {
				t.Errorf("%v: %d failed, %d without the fault", step, outcomes(rec, booking.Failed, step), outcomes(calm, booking.Failed, step))
			}
		}
		var during, usual, after, usualAfter float64
		for i, p := range rec.Samples[record.SampleGatewayLoad] {
			switch q := calm.Samples[record.SampleGatewayLoad][i]; {
			case p.At > 14*time.Second+200*time.Millisecond && p.At < 22*time.Second:
				during, usual = max(during, p.Value), usual+q.Value
			case p.At > 22*time.Second && p.At < 40*time.Second:
				after, usualAfter = after+p.Value, usualAfter+q.Value
			}
		}
		if during > 0 || usual == 0 || after <= usualAfter {
			t.Errorf("load %v during the outage, afterwards %v in all against %v", during, after, usualAfter)
		}
	}
}

// Of outages that overlap the later takes the place of the earlier, as with any fault;
// those of the other kind stand beside.
func TestOutages(t *testing.T) {
	sc := struck(t)
	at := func(from, long int, kind, target string) scenarios.Fault {
		return scenarios.Fault{At: time.Duration(from) * time.Second, For: time.Duration(long) * time.Second, Kind: kind, Target: target}
	}
	sc.Full.Faults = []scenarios.Fault{at(5, 2, fault.Outage, ""), at(1, 8, fault.Outage, ""), at(12, 1, fault.Cut, fault.VisitorGateway), at(1, 20, fault.WriterStop, "")}
	os := outagesOf(sc)
	first := sc.FaultsWithin()[1].At
	for sec, want := range map[int]bool{-1: false, 0: true, 3: true, 4: true, 5: true, 6: false, 10: false, 11: true, 12: false} {
		if now := first + time.Duration(sec)*time.Second; os.at(now) != want {
			t.Errorf("%d s after the first began: %v, want %v, of %v", sec, os.at(now), want, os)
		}
	}
}

// What the model has no layer for is refused in one line that says why.
func TestFaultsRefused(t *testing.T) {
	for _, row := range fault.Table {
		if row.Simulator != "" {
			continue
		}
		in := scenarios.Fault{Kind: row.Kind, Amount: max(row.Min, row.Default, 1e-6)}
		if len(row.Targets) > 0 {
			in.Target = row.Targets[0]
		}
		_, err := Run(context.Background(), struck(t, in), Options{})
		if want := "fault " + fault.Name(in.Kind, in.Target) + ": the simulator cannot do it: " + row.Why; !errors.Is(err, ErrFault) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	sc := struck(t, scenarios.Fault{Kind: fault.Kill, Target: fault.Writer})
	sc.Layers = map[string]bool{"queue": false}
	if _, err := Run(context.Background(), sc, Options{}); !errors.Is(err, ErrFault) {
		t.Errorf("a writer killed where there is none: %v", err)
	}
}
