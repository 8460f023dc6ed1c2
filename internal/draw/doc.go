// Package draw makes keyed random draws: f(seed, purpose, id, attempt), never
// the next number of a sequence.
//
// A visitor therefore has the same luck in the attack and in the simulator, on
// any number of cores and in any order of events. The logarithm, exponential
// and normal quantile are written out so that a seed gives the same bytes on
// every architecture.
//
// # Decisions
//
//   - A mixer of our own over math/rand/v2: a source there has state, so two
//     orders of the same calls give two different runs.
package draw
