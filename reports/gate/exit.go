package gate

// The exit codes of every command. When several of 3 to 6 apply, the first of
// ExitInvariantBroken, ExitLagged, ExitObjectiveMissed, ExitInconclusive counts.
const (
	ExitOK              = 0   // done, and all that was asked holds
	ExitInternal        = 1   // a defect of this program
	ExitBadInput        = 2   // a flag, scenario or file is wrong
	ExitObjectiveMissed = 3   // an objective is missed
	ExitLagged          = 4   // the generator lagged: the run is invalid
	ExitInvariantBroken = 5   // an invariant is broken
	ExitInconclusive    = 6   // the run cannot tell
	ExitEnvironment     = 7   // a port, disk or engine is not as needed
	ExitInterrupted     = 130 // stopped by a signal
)

// Worst is the code that counts among several: an interruption, then an
// internal error, bad input, the environment, then 5, 4, 3, 6 and 0.
func Worst(codes ...int) int {
	for _, want := range []int{ExitInterrupted, ExitInternal, ExitBadInput, ExitEnvironment,
		ExitInvariantBroken, ExitLagged, ExitObjectiveMissed, ExitInconclusive} {
		for _, c := range codes {
			if c == want {
				return c
			}
		}
	}
	return ExitOK
}
