// Package queue carries accepted submits from stock to the ledger: a bounded
// Redis stream with one consumer group, bounded attempts and dead letters.
//
// Stock's script writes the stream (StreamKey) and keeps its bound, so this
// package only hands out, acknowledges and buries.
//
// Use:
//
//	q, err := queue.New(client, queue.Options{Event: "e1", Consumer: "w1", Attempts: 5, Clock: c})
//	err = q.Open(ctx)                     // makes stream and group, idempotent; before stock takes
//	ds, err := q.Read(ctx, 200)           // new entries and those left over; []booking.Delivery
//	err = q.Ack(ctx, ds...)               // XACK + XDEL in one MULTI
//	dead, err := q.Fail(ctx, d, reason)   // give one back; dead letter after Attempts deliveries
//	n, err := q.Depth(ctx)                // entries not yet acknowledged
//	age, err := q.OldestAge(ctx)          // now - accepted-at of the first entry
//	err = q.Entries(ctx, f)               // everything waiting, for the reconciler
//	q.Put(ctx, a)                         // enqueue without stock's script: tests and repair
//
//	n, err := q.DeadCount(ctx); l, err := q.List(ctx, "", 50); d, err := q.Show(ctx, id)
//	err = q.Replay(ctx, id, who, why)     // back to the queue; the audit trail gets a line
//	d, err := q.Discard(ctx, id, who, why) // resolved by a person; the caller refunds the stock
//	es, err := q.Audit(ctx, 100)          // who did what, and when
//	err = q.Dead(ctx, f); err = q.Resolved(ctx, f) // for the reconciler
//
// An entry is handed out by one process at a time: while it is in that process's
// hands (Read, and neither Ack nor Fail yet) Read never gives it again, however
// long a database outage lasts. Entries of a consumer that died come back after
// Idle, at the most half of that later. Entries that cannot be decoded go straight to the dead letters.
//
// # Decisions
//
//   - The age of the oldest entry comes from the entry's own accepted-at offset:
//     XINFO's figures differ between stores, and its lag is wrong on miniredis.
//   - Depth is XLEN, which holds what is delivered and not yet acknowledged: that
//     is what is at risk. Acknowledged entries are deleted at once.
//   - Left-overs are found by XPENDING IDLE and XCLAIM, not XAUTOCLAIM: the latter
//     would also claim, and count an attempt against, what this process still holds.
//   - The audit trail is a stream in Redis beside the dead letters, not a table:
//     moving the letter and writing who moved it are then one atomic script. It is
//     never trimmed; it has one line for each action of a person.
//   - No blocking reads: on miniredis each blocked reader is woken by every command
//     and costs the whole server a third of its speed.
package queue
