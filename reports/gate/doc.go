// Package gate judges a record by the objectives it carries and says so in
// text, JSON, Markdown, JUnit XML and an exit code.
//
// A run is judged in this order: an invariant that is broken; a run whose
// generator lagged, which proves nothing; an objective that is missed; a run
// that cannot tell. An objective is inconclusive when its samples cannot carry
// the percentile, when the run lacks what it names, or when the scenario is
// predicted to lie within 2σ of its tipping line, where a thinned run is a coin
// toss. Invariants are never inconclusive for that last reason.
//
// # Decisions
//
//   - A baseline's verdict is shown and does not count: its exit code is 0, and
//     CodeIfCounted keeps what it would have been.
//   - A run that was interrupted, or a merge that lacks shards, may miss an
//     objective but is never more than inconclusive when it holds.
//   - Broken invariants count whether an objective names them or not.
//   - A lateness objective that is missed makes the run invalid, it is not a miss.
package gate
