// Package sim is the simulator arm: it runs a scenario in virtual time, every
// visit by itself, and returns the record that the attack would have written.
//
//	sc, err := scenarios.ScaleWithin(spec, 1, 1, scenarios.Unbounded) // 1:1
//	rec, err := sim.Run(ctx, sc.WithSeed(1), sim.Options{})
//	cost := sim.Estimate(sc)                                          // beforehand
//
// It executes nothing of what it predicts: no HTTP, no backend, no vegeta. The
// same scenario, seed and options give the same record, byte for byte, on any
// number of cores.
//
// # How far to trust it
//
// testdata/measured.json has what the attack measured on the bundled backend, on
// one machine: the main scenario, the lossless one, eight points of the sweep at
// k = 5, the coin against bots, an open gate, the timer, a writer that stops, a slow
// store, lost instances. go test ./sim -run Measured -v prints predicted, measured
// and error of each figure: of 277 figures of 16 runs the median error is 0.4 %, nine
// in ten are within 12 %. Nothing is fitted but two constants (Options.Network and
// Overhead, both from the main run); the phase of the writer's beat, which no
// scenario knows, is read off each run. What still differs, and why:
//
//   - Which submits meet a full queue and which an item that is gone is decided by
//     that phase to the millisecond. Left to the seed, "busy" and "sold-out" differ
//     by up to 40 %; with the phase of the run they agree to some per cent at k = 1,
//     less well at k = 5, where a beat is five times as short.
//   - Response times of a few milliseconds: a measured one counts from the due
//     moment, so the generator's lateness (median 0.13 ms) is in it, and at p95 and
//     p99 the scheduler and the collector of garbage are, 1 to 5 ms. These are not
//     modelled.
//   - A run whose generator lagged proves nothing and is not in the file; two such
//     were measured, and were 30 % and more off.
//
// # Calibration
//
// Calibrate takes network, overhead and noise from a measured run; spillway validate
// does so from one attack of 7 s, predicts other points, measures them and prints the
// error of every figure. On that machine, while others used it too (seed 1, three
// points away from the tipping line, 47 figures): median 0.8 %, worst 16.6 %; with the
// writer stopped (14 figures) 0.4 % and 4.4 %. Two runs under heavier foreign load
// missed the goal, by p99 of the status call alone (58 % without the noise, 81 % with
// it): noise that comes and goes between calibration and measurement is predicted by
// nobody.
//
// Seeds are equal by default, so luck in the arrivals is no part of these errors. A
// point is predicted from several evenings all the same: eight moments of the writer's
// beat, which decide who meets a full queue, or with --blind ten evenings of other
// visitors. They say how far one evening may lie from their mean. Where that, the
// sampling error or the machine's own noise exceeds 25 % by itself, a figure is shown
// with it and held to the goal only beyond three standard errors. Two runs with nothing
// else on the machine: median 0.9 %, worst 15.7 % of 58 figures, 7 more within chance;
// with --blind 2 median 1.4 %, worst 19.9 % of 47, 15 more. With five processes waiting
// for the two cores: 1.7 % and 16.1 %; blind 1.9 % and 44 % (p99 of the status call,
// that noise again).
//
// # What it costs
//
// The default scenario on a shared virtual machine of two cores (AMD Zen 5 of 1 MiB
// L2, Go 1.26), go test ./sim -bench . and the peak of the resident memory of
// spillway sim with its report:
//
//	window of 50 s, 1:1      5,728,000 visits   21.5 M events    4.5 s
//	18:00 to 24:00, 1:100    1,700,000 visits   8.53 M events   0.65 s   105 MiB
//	18:00 to 24:00, 1:10    17,000,000 visits     85 M events    3.8 s   120 MiB
//	18:00 to 24:00, 1:1    170,000,000 visits    855 M events  22-29 s   250 MiB
//	  hardly a press passes                     1,580 M events  61-65 s
//	  never sells out                           1,830 M events   105 s
//
// Events are those of the plain engine, arrivals included; it needs 1.5 s for the
// evening at 1:100 and would need some eight minutes for it at 1:1. The same binary took
// 22 s in one minute and 29 s in another of the same hour: the host has other guests.
// Two engines are told apart only side by side, one core each, then swapped. The two
// variants are those of BenchmarkDay.
//
// Where the default's time goes, by the profile of two cores (25 s each): arrivals 42 %
// (drawing their moments and users 9, reading the clients' memory ahead 14, opening the
// program 19), status calls 35 % (waking and asking 10, the servers 12, hearing the
// answer 9, putting off and finding again 4), waiting for the other core 10 %. Where
// hardly a press passes: reading ahead 18 %, forms and the presses counted ahead 17,
// opening the program 12, waking 13, the servers 9, waiting for the other core 6.
//
// That variant took 104 s on the same day, and 2 GB, before a visit that had given up was
// taken off the list of those that run ahead of time: each of them, once its user came
// again, left an entry in a table that nobody took out; finding places in it took 69 of
// 252 s of one core. Memory that is met in no order and grows is dearer than the work it
// saves: so a visit runs no further ahead than its user is likely to stay away (lookAhead
// in package model).
//
// The floor, reckoned from the parts measured by themselves and not run: a moment and a
// user 10 ns, one of five million clients 17, a draw 2; so 30 ns an arrival and 5 s in
// all. A log-normal 25 ns and a wait, put off and found again, 26, for 67 million
// notices; 40 ns a status call and 30 a lock: 10 s in all. Together 15 s of one core,
// 8 s of two that share perfectly. Five seconds would take four such cores and the
// servers, one sequence for the sake of an exact stock, to spend 25 ns a call, not 60.
//
// The floor of the variants, in seconds of one core at 1:1, reckoned as above and not run:
//
//	                          hardly a pass     never sells out
//	170 M arrivals                 5                 5
//	66, 56 M notices               3.4               2.9       51 ns
//	156, 113 M status calls       11                 8         70
//	51, 38 M forms                 2.6               1.9       51
//	338, 72 M lost presses         6.8               1.4       20: three draws, one of them SipHash, and a count
//	147 M checks and submits                         8         40, and 30 a lock
//	50 M polls                                       5         100: client and row lie anywhere
//	43 M that wait for a slot                       11         250: no rule of the door can be left out
//
// That is 29 s and 43 s of one core, 15 s and 22 s of two that share perfectly.
//
// # Decisions
//
//   - Scenario and seed decide everything, so a Scaled is all the input; the bounds
//     of a machine that must send the requests do not hold (scenarios.Unbounded).
//   - Objectives about the generator are left out of the header instead of being
//     shown as undecided: nobody lagged, since nothing was sent.
//   - Invariants are proved from the model's own rows. They guard the simulator,
//     not a backend: that a rule is the backend's is shown by the measurements.
package sim
