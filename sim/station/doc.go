// Package station simulates a bare service station: c servers, K places, any
// service law, Poisson or regular arrivals, impatience, retrials and priority
// classes. It is what is left of the simulator when every layer is switched off,
// so that anybody can hold it against queueing theory.
//
//	r, err := station.Run(ctx, station.Config{
//		Servers: 16, Rate: 1440, Service: station.Exponential(10 * time.Millisecond),
//	})
//	fmt.Print(r) // M/M/16 at load 0.9: every figure with its interval
//
// # What is measured
//
// Blocks of Customers are measured, either independent replications or the
// consecutive batches of one long run; the first WarmUp customers of every run
// are discarded and the Result says how many. Customers belong to the block of
// their first attempt and are followed to their end, however late; numbers in the
// system are time averages over the block's span, summed from the events and never
// taken from Little's law, so that the law can be tested. Every interval is
// Student's t across the blocks. Each interval holds with the stated confidence by
// itself, not all of them together.
//
// # Engines
//
//   - The recursion (fast.go) for first come, first served, without retrials: one
//     pass over the customers, no events. M/M/16 at load 0.9 runs at 25 million
//     customers/s on one core of a 2-core Xeon VM (39 ns each: about 11 to draw two
//     exponentials, 14 to place the customer among the servers, the rest to count
//     two histograms and the sums); M/M/1 at 44, 1,024 servers at 14, log-normal
//     service at 9 million.
//   - The plain kernel (sim/des) for everything: the same M/M/16 at 5, a retrial
//     queue at 1 to 3 million customers/s.
//
// Where both can run they give the same figures to the last bit, which the tests
// demand on random stations. BenchmarkStation and BenchmarkServers print the speeds.
//
// # How far to trust it
//
// TestValidate holds 21 stations to their closed forms, at intervals so wide that
// chance fails the suite less than once in 10,000, and TestValidateNotices shows
// that services one per cent too long are noticed in every one. TestCoverage shows
// that intervals of 95 % are: 379 and 380 of 400 hold the truth. Log-normal service
// with a cv beyond 1 needs blocks larger than usual: the means of small blocks are
// skew, and Student's t then errs on the low side.
//
// # Theory
//
// Config.Theory gives every closed form that applies to a station, with its formula
// and book: Erlang B, C and A, M/M/c/K, M/M/c+G, M/D/1, D/M/1, Pollaczek and Khinchine,
// Cobham's priorities, retrial queues, and Little's law for the servers of any station
// where nobody is lost. TestTheoryEqualsTheSuite holds it to the suite's own formulas,
// which are written another way, and TestTheoryAgainstTheSimulator the rest to the
// simulator: 137 comparisons. Where no closed form is known it says nothing: several
// servers with a service that is not exponential, percentiles of M/G/1, limited
// attempts.
//
// # Storms
//
// Storm is the other half of the theory, which has no steady state: users with
// timeouts and retries, spikes and pauses, and the defences against them. Its tests
// hold it to published tables of defences, metastable failure, tipping and scale
// models. A single run on the tipping line is a coin toss: use many seeds.
//
// # Decisions
//
//   - Time is a whole number of nanoseconds, and sums have 128 bits: both engines
//     are exact, so they can be held equal rather than close.
//   - At one moment services end before patience does, patience before first
//     attempts, first attempts before later ones: a wait of exactly one's patience
//     is served, and a server that comes free is free for who arrives then.
//   - Draws are keyed by customer and attempt, so two stations that differ in one
//     setting meet the same customers with the same work (common random numbers).
//   - draw.FastExp over draw.Exp: a quarter of the cost, as deterministic.
//   - Retrials are classical (every customer in the orbit has a clock of its own),
//     as people with phones are; the constant policy, one call at a time, is not here.
//   - Blocks shorter than a hundred relaxation times bias percentiles and narrow the
//     intervals: Result.Enough says how many customers a block should have. M/M/16 at
//     load 0.9 in blocks of 5,000 (15 relaxation times) has 84 % of its figures inside
//     intervals of 95 %, in blocks of 40,000 it has 95 % (60 to 150 seeds).
//   - An interrupted run keeps its first replications, not all that were complete: those
//     with few attempts are complete sooner.
//   - A load of 1 or more with nothing to bound it is refused. So is it with bounded
//     places when customers retry for ever: the orbit then grows instead.
package station
