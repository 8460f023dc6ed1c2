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
			scenarios.Fault{Kind: fault.WriterStop}, scenarios.Fault{Kind: fault.InstanceLoss, Amount: 3}, scenarios.Fault{Kind: fault.SlowStore, Amount: 0.2}), Options{})
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
