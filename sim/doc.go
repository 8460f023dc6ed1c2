// Package sim is the simulator arm: it runs a scenario in virtual time, every
// visit by itself, and returns the record that the attack would have written.
//
//	sc, err := scenarios.ScaleWithin(spec, 1, 1, scenarios.Unbounded) // 1:1
//	rec, err := sim.Run(ctx, sc.WithSeed(1), sim.Options{})
//
// It executes nothing of what it predicts: no HTTP, no backend, no vegeta. The
// same scenario, seed and options give the same record, byte for byte, on any
// number of cores.
package sim
