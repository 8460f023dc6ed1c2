// Package des is the plain sequential simulation kernel: a heap of events, each
// with a callback, run one after the other in virtual time. It is the oracle
// against which faster engines are held, so it is kept simple and strict.
//
//	k := des.New()
//	k.After(time.Second, func() { fmt.Println("hello at", k.Now()) })
//	err := k.Run(time.Minute)
//
// # Order
//
// Events run by (time, priority, sequence): the earlier first; at one moment the
// smaller priority first; then the one scheduled first; last those with a key of
// their own (AtKey), the smaller first. The order is total, so a run has one outcome
// only, and one of keyed events the same in whatever order they were scheduled. An event scheduled for the present moment by a
// callback runs after it, within the same moment.
//
// # Promises
//
//   - Time never goes back. An event for a moment that has passed is an error:
//     it does not run, and Run stops with ErrPast at once.
//   - No event is lost: Scheduled = Ran + Stopped + Pending, see Counts.
//   - Nothing here waits, draws or reads a wall clock.
//
// # Decisions
//
//   - The kernel implements clock.Clock, so a program of callbacks runs on it
//     and on the wall clock alike (the twin test). Callbacks run on the goroutine
//     that called Run, one at a time, and must not block. A Kernel belongs to that
//     one goroutine: with two, the sequence of ties would depend on the scheduler
//     of the operating system. Safety between goroutines, which clock.Clock asks
//     for, is met by there being one.
//   - A 4-ary heap over container/heap: no interface calls, a shallower tree. It
//     holds 24-byte entries; callbacks stay in a slab and never move.
//   - Lanes beside the heap for what follows a constant delay, as requests on their
//     way do: a queue instead of a tree, in the same order.
//   - A stopped event stays in the heap until it comes up, or until stopped events
//     are the majority; then the heap is rebuilt without them. Client timeouts
//     are nearly always stopped, so memory follows what is pending.
//   - Errors stick: At cannot return one without making every call site check it,
//     so the first is kept and returned by Run, Step's caller sees it in Err.
package des
