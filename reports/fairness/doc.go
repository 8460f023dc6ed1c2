// Package fairness tests from plain numbers that a lottery drew fairly, and says what it
// would not have noticed.
//
// A Tally counts a draw as it streams by (30 million entries cost a megabyte and the
// counts); Judge turns the Draw into a Report: a table with intervals for each dimension
// that people can be cut by, a list of tests, questions to the process, and one verdict.
// Package plot draws it. Shares are 0..1, p values two-sided.
//
// # The model
//
// Each pool (a shop and a type of mask) draws its own K winners from its own N entries.
// Given these, the winners of a level with n entries are hypergeometric, and over the
// pools a sum of independent ones: mean Σ K·n/N, variance Σ K(N−K)/(N−1)·f(1−f) with
// f = n/N. Their law is summed term by term where that can be paid for (exactWork), which
// a day of 300,000 winners in 193 pools can; beyond, the normal law stands in with its
// error stated. Each row says which was used.
//
// # What each test can show, and cannot
//
//   - level: these people won more or less often than luck gives. Exact. Sees nothing
//     about groups that no dimension sets apart.
//   - all levels: a χ² over a dimension with the covariance of hypergeometric draws, the
//     general association statistic of Cochran, Mantel and Haenszel. Sees many small
//     deviations; levels that expect few winners are put together.
//   - trend: ordered levels won the more, the higher they are (Mantel). The strongest
//     against a favour for the early, the late, or those who lost before.
//   - classes of tickets: thirds of the tickets by level, Pearson's χ² of a table. Sees what
//     was done to those who did not win, such as the order of a reserve list.
//   - rank correlation: Spearman's, of ticket and order of entry. This is what convicts the
//     draft lottery of 1970. Sees no favour that is not monotone.
//   - uniform tickets: Kolmogorov's distance. Sees a bad generator or a bad cut of its
//     output, of any group or of all alike.
//   - runs of winners: winners side by side in the order of entry. Its law is
//     hypergeometric too, so it is exact over any number of pools. Sees draws by block,
//     and lists with the favoured put together.
//
// The formulas' sources stand at the functions.
//
// No test of the outcome can show that the draw was not chosen. Whoever may take the best
// of 2^b draws for a group makes happen what luck does once in 2^b times; a group of 20
// whom no dimension names passes every test. With a seed of six digits that is a matter
// of seconds (TestEnumerableSeed finds the seed from the published winners, and picks the
// best of a million for a district and for 20 people). Taken to the end, it shows where
// the group is a level: p is then near 2^-b, and the correction for m tests leaves m times
// that. Who is content with the best of a hundred is never caught. Only the process can
// rule it out: the list, quotas and rule sealed before the seed can be known, a public
// value in the seed that nobody chooses, and a seed too long to be tried out. Those are
// questions of the report, and a wrong answer fails it whatever the statistics say. The
// report takes the answers as they are given: the seal's proofs show whether they are
// true.
//
// A verdict of "fits" says that no favour of the size stated as noticed was there, no
// more.
//
// # Decisions
//
//   - One correction over all tests of a report (Holm), and a family error of 0.001: a
//     daily draw then raises one false alarm in 2.7 years. 0.01 would raise three or four
//     a year, and soon nobody would look; 0.0001 would pass the draft lottery of 1970,
//     which this report rejects with a corrected p of 0.0002. Simulated: of 2,000 fair
//     draws of some 45 tests, 1 alarms at 0.001 and 49 at 0.05 (TestFalseAlarms); exact tests
//     of few winners err on the quiet side.
//   - Tails are doubled, not gathered by probability (Freeman and Halton), so that p and
//     interval never disagree: the fair rate lies inside the 99 % interval exactly when p
//     is above 1 %.
//   - The interval is of the odds ratio, exact, given all margins, and common to the
//     pools; it is told by the winners that its ends lead us to expect. The law with odds
//     ψ is the fair one times ψ^w, so one convolution serves p, interval and power.
//   - Rank tests keep every ticket up to 1,048,576 (16 MB, exact), and count beyond it in
//     256 × 256 equal steps of order and ticket, and 65,536 of ticket alone: a megabyte,
//     with the law under a fair draw unchanged (ranks with ties) and (1 − 256⁻²)² of
//     Spearman's efficiency; D is never overstated. Rejected: a sample of a million, which
//     would see only favours 5.5 times as large.
//   - χ² over Monte Carlo: down to a p of 1e-5 it is at most 2.6 times too small, where two
//     levels are as small as leastExpected lets them be (TestChiTail, TestChiSkewness);
//     one such test in a family of dozens, beside exact ones that err the other way.
package fairness
