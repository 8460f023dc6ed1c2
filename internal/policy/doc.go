// Package policy holds the decisions that the attack, the reference backend and
// the simulator share: what a visitor does next, whether a coin passes, when a
// limit refuses, which rung the ladder stands on, who is in a lottery's draw.
//
// A decision takes the time and the draw as arguments. It never waits, logs,
// draws or reads a clock, because a decision that does cannot be replayed.
// Times are offsets in run time, the lottery's are Unix time; the zero value of a
// limit is stated at each.
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
//   - An entry to the lottery is known by moments and days alone, and every answer
//     is worked out from them anew: nothing is ever switched over at midnight, so
//     nothing can be switched over twice, or late.
//   - The days after a win are whole days, from midnight to midnight, for the draw
//     and for the desk. Whoever is registered for good is drawn again on the first
//     day after them; whoever enters anew on that day is in the next day's draw.
package policy
