// Package reports turns records into what a person or a pipeline reads: a
// summary of one run as JSON, Markdown and one screen of text, and tables that
// put runs side by side. It reads records only and cannot tell which arm wrote
// one.
//
// Times are scenario time (full size, moments counted from the opening) unless
// a name says "wall". Counts are those of the run, never scaled up. Every share
// names its denominator. What a run does not have is "n/a"; a percentile that
// its samples cannot carry is "cannot tell".
//
// # Recovery
//
// Recover holds a run under a fault against the calm run of the same seed: its time to
// recover runs from the fault's end to the last moment at which a figure was worse than
// ever in the calm run. What "worse" leaves to luck is said at its constants.
//
// # Decisions
//
//   - Response times of steps and of bookings are those of people. Bots, who
//     press at the first instant and never wait for a gate, would flatter them;
//     they have a row of their own.
//   - The worst second of retry amplification is looked for among seconds with at
//     least 20 first tries; below that a handful of retries decides.
//   - A prediction is held to its goal figure by figure, unless chance alone exceeds
//     the goal: then the error counts only beyond three standard errors. A figure of
//     nine refusals that is 40 % off is neither hidden nor called a miss.
//   - Confirmed reservations are the rows written where the backend reports
//     them, else the confirmations that visitors saw.
package reports
