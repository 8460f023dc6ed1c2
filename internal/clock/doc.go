// Package clock is the only door through which wall time enters a run.
//
// Everything else takes time as an offset (time.Duration since the run began),
// either as an argument or from a Clock, so that the same code runs on the wall
// clock, inside a testing/synctest bubble and on a simulator.
package clock
