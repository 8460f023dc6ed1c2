// Package cli is the command line: one file a subcommand, and the only package
// that knows all others. It maps a scaled scenario to the backend's
// configuration, runs the backend as a child process, runs the attack against
// it, asks the reconciler for the invariants and writes the report.
//
// # Exit codes
//
//	0    ok
//	1    internal error
//	2    bad input: a flag, a scenario, a record
//	3    an objective was missed, or a station differs from theory beyond luck
//	4    the generator lagged: the run is invalid
//	5    an invariant is broken
//	6    inconclusive: too close to call, or too few samples
//	7    environment: a port, the disk, the target
//	130  interrupted; the partial record is kept
//
// When several apply the order is 5, 4, 3, 6. A baseline that is meant to
// collapse does not count. The codes are spillway's own: make turns any into 2.
//
// # Decisions
//
//   - The backend runs in a process group of its own, so that Ctrl-C reaches the
//     generator alone, which then stops the backend in order.
//   - --window says day or opening wherever something is simulated: every visit of the
//     scenario's day at 1:1, or what the attack runs. sim takes the day by itself, for
//     it is asked what happens; sweep and plan take the opening, for they ask a
//     hundred times. Other flags win over both.
//   - A plan without --scale grows the crowd until the samples carry what is asked:
//     "cannot tell" is no plan.
//   - Plans are answered by runs on the simulator alone: a value holds when every
//     objective does in every seed, and one that is too close to call does not hold.
//     A plan's points stay in its folder, so a second question reuses them.
//   - The tornado is a flag of plan, not of sweep: it asks about one metric, takes its
//     points from the scenario's own notes, and shares seeds and folder with plans.
//   - A file with the key "station" is a bare service station. spillway sim runs it and
//     sets every figure beside the closed forms that apply; theory is judged at
//     intervals that hold all figures at once, and a station that differs from it
//     beyond luck (1 in 1,000) exits with 3. Flags of evenings are refused,
//     not ignored, at their defaults too. Its folder is not drawn again: the same file
//     and seed give the same figures in seconds, and spillway report says so.
//   - lottery versus sets the rush beside the lottery on the people and goods of the
//     first evening: most was published about it, and a lottery over them needs no
//     number of its own save the hours of entering. Scenarios whose people or goods
//     differ are refused. The simulated day has visits, each by a person left to
//     chance; the draw's list has every person once. A missed objective is said, not
//     counted, for the comparison is the answer; broken invariants and a generator
//     that lagged are counted.
//   - A sweep's default folder is stable, so that the same command resumes it; a
//     run's is new each time.
package cli
