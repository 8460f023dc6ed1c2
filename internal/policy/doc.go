// Package policy holds the decisions that the attack, the reference backend and
// the simulator share: what a visitor does next, whether a coin passes, when a
// limit refuses, which rung the ladder stands on.
//
// A decision takes the time and the draw as arguments. It never waits, logs,
// draws or reads a clock, because a decision that does cannot be replayed.
// Times are offsets in run time; the zero value of a limit is stated at each.
//
// # Decisions
//
//   - The visitor is one function, Program.Next: (state, event) to (state, move).
//     The attack feeds it replies from HTTP, a simulator feeds it replies from a
//     model, and a test feeds it both in any order.
//   - A reopened program replaces the same user's older visit, except while a
//     submit of that visit is on its way or queued: its client remembers the
//     ticket, so the new visit ends as "resumed" and the old one goes on.
//   - A give-up is decided when a lock ends, for that is when the person looks
//     at the button again.
package policy
