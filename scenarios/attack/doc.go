// Package attack is the generator: it drives a scenario's visitors with vegeta
// against any URL that speaks the contract of package wire, and returns a record.
//
// vegeta (github.com/tsenart/vegeta, MIT) gives the dispatcher and the pool of
// workers. What is due when is ours. The agenda is a queue of visitors' actions
// in order of time. vegeta asks a Pacer on one goroutine how long to wait for the
// next hit; ours waits by itself until an action is due, is woken when a reply
// asks for something earlier, and hands the request to the Targeter. A waiting
// visitor is so a few bytes in the agenda and never a goroutine. The request
// itself, the reading of its reply and the taking of time happen in a RoundTripper
// of our own; vegeta sees a stub.
//
// Every request has three moments: Intended, when the event that caused it was
// due; Sent, when it went out; Done, when its reply was read. Response counts from
// Intended, service from Sent; the gap is the generator's own lateness and has a
// histogram of its own. Nothing that was due is dropped: beyond MaxInFlight it
// waits in the agenda and keeps its Intended; what is still not sent when the run
// ends is counted as "unsent".
//
// # The order of events
//
// All decisions of all visitors are taken on vegeta's dispatcher goroutine, in
// the order of (due moment, visit): a reply too goes through the agenda, due at its
// Done. Visits of one user share what that user's client remembers, so their
// order matters; with a clock under control it never depends on the number of cores.
//
// # The end
//
// An event due at the run's length or later is not part of the run. What was due
// before is still sent, and replies are awaited, for Grace at most; then all that
// is under way is cancelled. A request so cut off has no outcome: it is counted in
// "requests.cut" and noted in the header, since a reply nobody waited for has no
// latency. Visits under way end as in-flight.
//
// # Decisions
//
//   - The client's timeout counts from Sent, not from Intended: a visitor of a
//     late generator is not made impatient by it. The lateness limit says whether
//     such a run is valid.
//   - "unsent" carries in its Response histogram how long the request had been due
//     when the run ended: a lower bound. It has no Service.
//   - Saturated means that something due was not sent, or sent more than a second
//     late; in a run that was interrupted, that it was due for longer than that.
//   - An outcome that a step cannot have ("open" for a submit), or that only a
//     client can know ("timeout"), is unmapped when a reply claims it.
//   - Retry-After is read in seconds; its date form is not read, since a date
//     needs the server's wall clock.
//   - A user who never got a config goes on with the defaults that the original
//     program carried: its own gate at 20 %.
//   - Lateness and ledger have the clock Response; the ledger's outcome is
//     "confirmed" and its second the one in which the submit was accepted.
//   - On Linux the wait is a timerfd in the runtime's own poller: precise to
//     microseconds where a runtime timer on an idle machine is late by up to a
//     millisecond, and unlike ppoll it holds no thread and no processor slot.
//     Elsewhere it is a runtime timer.
//   - What falls due within 0.3 ms of the dispatcher's last wake goes out together.
//     At 5,000 a second that makes the median lateness 0.19 ms instead of 0.05; every
//     wake by itself would cost half as much again in processor time.
//   - Plain HTTP goes over connections of our own instead of net/http's Transport: a
//     worker writes and reads by itself, which takes a third off the processor time
//     of a request. Messages are still written and parsed by net/http; https uses
//     the Transport. A GET that finds its idle connection closed by the server is
//     sent once more, a submit never.
//   - The memory of the generator is bounded by MaxInFlight (about 15 kB for each
//     request under way: worker, connection and buffers) and by the list of arrivals
//     (24 bytes each). A process that must stay under a hard limit sets
//     debug.SetMemoryLimit itself.
package attack
