// Package record is the run record: what both arms write and all that reports
// read. It holds the header, the visitor funnel, a latency histogram per span,
// outcome and second, counters per second, samples of every layer, the
// invariants that were checked and the objectives to hold.
//
// Times in a record are run time, counted from the start of the run's window;
// Header converts them to scenario time (full size, counted from the opening).
// Records of shards merge without loss: histograms and counters add.
//
// # Names
//
// A span is a step name ("submit"), "booking" (first press to final result),
// "ledger" (accepted to written, as the backend measured it) or "lateness" (the
// generator's own delay). Every span has a clock: Response counts from the
// intended moment, Service from the send.
package record
