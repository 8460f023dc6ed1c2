// Package fault is the vocabulary of faults: which there are, what they hit, how
// strong they are, and what each arm makes of them. It does nothing by itself.
//
// The words are the same in a scenario's file, on the wire, in the backend, in the
// simulator and on the command line ("kill:writer").
//
// # Decisions
//
//   - One table, one row for each thing that is done differently. What an arm cannot
//     do is an empty cell, and the arm refuses it before the run starts; a fault that
//     is skipped in silence would be a run that proves nothing.
//   - A network between two is named by its two ends, client first.
package fault
