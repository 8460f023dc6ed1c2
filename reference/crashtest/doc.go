// Package crashtest holds tests only: it kills processes of the backend at every
// crash point, loses Redis's memory and the answers of its stores, and proves
// that nothing accepted is lost, sold twice or contradicted.
//
// A schedule is one seed. Two or three gateways, two writers and a person at the
// dead letters run on one miniredis and one SQLite file, in virtual time, inside a
// testing/synctest bubble. Every step that changes a store waits at its crash
// point until the scheduler lets it go; the seed says which step is next, how long
// nothing happens, and what goes wrong: a kill before or after the step, a lost
// answer, a failing database, a process that stands still, Redis restarted with
// its memory or without it, an entry delivered twice, a poison entry, a row that
// the database refuses. A killed process does nothing more; a new one takes its
// place. Then the storm ends, everything is drained, and the rows of the database
// are held against what clients were told.
//
// A schedule of a lottery is the same storm over people who enter, edit and withdraw
// on short days, while another process closes, seals and draws the lists, and gateways
// are held up over the seal. At its end every promise stands, every sealed list is
// still what it was, and nobody is in one twice or won twice within the wait.
//
//	go test ./reference/crashtest -run TestLotterySchedule             # an eighth as many
//	go test ./reference/crashtest -run TestSchedule                    # 1,000 seeds
//	go test ./reference/crashtest -run TestSchedule -schedules 100000  # the long form
//	go test ./reference/crashtest -run TestSchedule -seed 17 -v        # one seed, with its trace
//
// # What is excused
//
// A ticket whose every gateway died before the ledger had it, and which Redis then
// forgot, is a double fault (see package reference): it may be gone, and whoever
// repeats the submit gets the same ticket again. Nothing else is excused.
package crashtest
