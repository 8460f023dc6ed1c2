// Package stock takes reservations out of stock: the one step of the backend
// that must never be wrong, in Redis or in anything that speaks its protocol.
//
// Replay of an idempotency key, the duplicate check, the stock, the queue's bound
// and the enqueue are one atomic script, so that a process may die at any moment
// and leave nothing half done. Concurrent submits share a call of that script.
//
// Use:
//
//	s, err := stock.New(client, stock.Options{Event: "e1", Items: 7, Clock: c,
//		Stream: queue.StreamKey("e1"), Depth: 200, Results: ledger.ResultsKey("e1"),
//		BatchMax: 64, Linger: time.Millisecond})
//	err = s.Fill(ctx, items)          // idempotent; refuses to overwrite a running sale
//	res, err := s.Take(ctx, stock.Submit{User: 7, Item: 3, Key: "k"})
//	                                  // err != nil only with res.Outcome == booking.Unknown
//	rs, err := s.TakeBatch(ctx, ins)  // one call of the script, in order
//	free, err := s.Free(ctx)          // of each item
//	sold, err := s.SoldOut(ctx)       // all stock is gone: one field read, for the closed flag
//	done, err := s.Refund(ctx, a)     // gives back what a booking.Accepted took; idempotent
//	err = s.Holders(ctx, func(a booking.Accepted) error) // who holds stock, for the reconciler
//	n, err := s.Count(ctx)            // users who hold a ticket (lottery: entries)
//	at, ok := s.SoldOutAt()           // moment at which the last reservation went
//	s.Stats(); s.Close()
//
//	err = s.Tend(ctx)                 // a gateway, ten times a second: prunes its outbox, offers what Redis has lost
//	phase, err := s.Look(ctx)         // whoever writes: Running, Missing or Rebuilding
//	mine, err := s.Begin(ctx, token)  // a rebuild: Offers, Restore, Reopen; see package reference
//	q, r, err := s.Admit(ctx, judge)  // late offers: accepted again, or refused by the ledger
//
//	res, err := s.Change(ctx, a, w)   // lottery: an edit or a withdrawal, under its own ticket
//	done, err := s.Release(ctx, u, t) // lottery: its entry is over, another may be made
//	err = s.Seal(ctx, at)             // lottery: nothing of an earlier moment any more
//
// The order of the checks: malformed (invalid), key known (same answer, or
// invalid for another user), user known (duplicate), all gone (closed), item gone
// (sold-out), queue full (busy), else queued.
//
// # What it keeps
//
// Three hashes, all in one slot by the hash tag {event}: the state (free of each
// item, total, when it closed; of a lottery until when it is sealed), user to ticket,
// key to ticket. A lottery has a fourth, of each person's last edit. Only acceptances
// are remembered: a refusal took nothing, so judging it anew is safe. The
// idempotency memory is therefore bounded by the reservations ever taken (stock
// plus refunds; in a lottery, entrants), about 150 bytes each, and needs no
// time-to-live: a sale's keys are deleted together when the sale is.
//
// And two for recovery: the offers of gateways, and the lock of a rebuild. In memory a
// Store keeps the outbox of what it has accepted and does not know to be settled: at
// most what waits in the queue and among the dead letters, some 200 bytes each.
//
// # Decisions
//
//   - A batch of submits a script call, over one call each: a call costs
//     miniredis 200 to 330 µs whatever it does, so 16 share it. Reads are one
//     HMGET for the batch and writes one HSET; later submits of a batch see the
//     earlier ones through Lua tables.
//   - Batches pay on a real Redis too: a submit takes 33 to 64 µs of its processor
//     alone, 9 to 12 µs among 16 and 8 µs among 64 (Redis 7.0, BenchmarkRealTake).
//   - All keys of an event share a slot, so that one script can hold them: on a
//     cluster one primary carries one sale, and the others carry other sales.
//   - A replayed key answers as its first use did even when it names another
//     item: the ticket is what counts, and its result names the item.
//   - A sale whose state hash is missing (Redis restarted empty) answers unknown,
//     never sold-out or closed: nobody may be told a lie until stock is rebuilt.
//   - A ticket is an HMAC of user and key, so a repeated submit makes the same
//     ticket even when Redis has lost its memory, and the ledger sees it is one.
//   - A user who holds the very ticket that his key makes is a replay, not a
//     duplicate, even when the memory of keys was lost.
//   - A refund fails while no sale is open: a rebuild counts what is free itself, and
//     a refund on top would be lost or counted twice.
//   - Gateways find out what Redis has lost by the result cache, over an epoch that
//     they would have to compare: stock's script notes each acceptance there in the
//     same step, so a ticket that the cache does not know was lost, in part or whole.
//   - A lottery's entry is stamped when its call is made, and the script holds that
//     stamp against the seal: gateways whose clocks differ cannot slip one in.
//   - A lottery's holder has his whole entry beside his name, 40 bytes more: what must be
//     accepted again, or queued again by a repair, is what he said, when he said it.
//   - Refund keeps the key: a late replay still gets its ticket, whose result
//     says what became of it.
package stock
