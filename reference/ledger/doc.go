// Package ledger keeps what was sold, in a database: the writer that empties the
// queue into it, the result cache that clients poll, the synchronous bookings of
// the lossless mode, and the reconciler that proves the books.
//
// Use:
//
//	db, err := ledger.Open(ctx, "sqlite:/dir/ledger.db", ledger.DBOptions{})   // or "postgres://…", or OpenReadOnly
//	rs, err := db.WriteBatch(ctx, []ledger.Row{{Accepted: a, Written: now}})   // one transaction, idempotent
//	res, err := db.Result(ctx, ticket)      // Confirmed, Refused or Unknown
//	db.Entries()                            // the same for lottery entries, as a Keeper
//	n, err := db.Rows(ctx); n, err := db.EntryCount(ctx); items, err := db.Sold(ctx, len(items))
//
//	c, err := ledger.NewCache(client, "e1", db)  // hash ledger.ResultsKey("e1")
//	res, err := c.Get(ctx, ticket)          // cache first, the database on a miss; Pending, Confirmed, Refused, Unknown
//
//	w, err := ledger.NewWriter(ledger.WriterOptions{Source: q, Keeper: db, Cache: c, Refund: store.Refund,
//		Rate: 40, Every: 50*time.Millisecond, Clock: clk, OnRow: f, OnBatch: g})
//	w.Start()                               // one goroutine; FlushEvery > 0 makes it the timed writer
//	w.Stop(); w.Resume(); w.SlowBy(d)       // the faults
//	err = w.Drain(ctx)                      // all there is, at full speed: graceful stop
//	w.Close(); w.Stats()
//
//	l, err := ledger.NewLossless(db, ledger.LosslessOptions{Rate: 350, ReadUnits: 2, WriteUnits: 10, Clock: clk})
//	err = l.Fill(ctx, items)
//	res, err := l.Book(ctx, a)              // Confirmed, Duplicate, SoldOut, Closed, Unknown
//	free, err := l.ReadForm(ctx); res, err := l.ReadResult(ctx, ticket)
//	l.Backlog(); l.SlowBy(d); l.Close()
//
//	rep, err := ledger.Reconcile(ctx, db, &ledger.View{Free: store.Free, Holders: store.Holders,
//		Queued: q.Entries, Dead: q.Dead, Resolved: q.Resolved, Results: c.All}, ledger.Books{Items: items, …})
//
// Moments are offsets since the run began; the database holds them in nanoseconds.
//
// # Decisions
//
//   - SQLite by modernc (no C compiler needed), WAL, one writing connection with
//     immediate transactions and a pool of readers. Statements are portable; what
//     is not sits in one dialect value a database.
//   - PostgreSQL by pgx. A batch is one INSERT from arrays (unnest), which is
//     faster there than COPY and needs no temporary table; rows that it leaves
//     out are explained by a second statement. Batches are sorted by person, so
//     that writers at once wait for each other in one order and never in a
//     circle; what clashes all the same is tried again as a whole.
//   - Read committed is enough on PostgreSQL: the unique indexes decide between
//     writers, and a decrement holds the stock's row until its commit.
//   - synchronous=FULL: after the commit the entry is deleted from the queue, so a
//     power cut must not undo it. On the disk that was measured NORMAL was no
//     faster.
//   - The primary key grows with time and rows are narrow: measured, ascending
//     keys write seven times faster than random ones. Ticket and (user, cycle)
//     are unique indexes, which the invariants need.
//   - A refused ticket gets a row of its own in the same transaction, so that "no"
//     is as durable as "yes", and a ticket once refused is never confirmed.
//   - A batch that fails as a whole is tried again, not counted against its
//     entries, when the error says that the database is down (ErrDown), or a
//     probe does: an outage must not turn the queue into dead letters. The probe
//     alone would not do: on a full disk it finds room where a batch finds none.
//     Otherwise the rows are tried one by one, and only those that fail are given
//     back.
//   - The writer's beat is kept in virtual time: late wake-ups are made up for, so
//     the rate holds; a beat that finds the queue empty forgets what it could have
//     written, so idleness saves up no credit. The fault's extra latency is part
//     of the beat; the database's own time is not.
//   - The lossless station works through its backlog even when clients have left:
//     that is what a database does that nobody tells.
//   - Reconcile reads and reports, and so does Discrepancies. They never book,
//     refund or delete; package reference repairs what is safe.
package ledger
