// Package ledger keeps what was sold, in a database: the writer that empties the
// queue into it, the result cache that clients poll, the synchronous bookings of
// the lossless mode, and the reconciler that proves the books.
//
// Use:
//
//	db, err := ledger.Open(ctx, "sqlite:/dir/ledger.db", ledger.DBOptions{})   // or "postgres://…", or OpenReadOnly
//	rs, err := db.WriteBatch(ctx, []ledger.Row{{Accepted: a, Written: now}})   // one transaction, idempotent
//	res, err := db.Result(ctx, ticket)      // Confirmed, Refused or Unknown
//	db.Entries(rules)                       // the same for lottery entries and changes, as a Keeper
//	e, ok, err := db.Entry(ctx, ticket)     // an entry as it stands now
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
//	err = db.CloseDay(ctx, day, rules)      // nothing enters, changes or leaves any more; reference.CloseDay first
//	err = db.DrawEntries(ctx, day, rules, f) // exactly who takes part, as it stood at the seal
//	err = db.RecordSeal(ctx, day, root, n)  // each idempotent, and refused when it differs
//	err = db.RecordDraw(ctx, day, wins); err = db.Publish(ctx, day)
//	ds, err := db.Draws(ctx); err = db.Wins(ctx, day, f)
//
// Moments are offsets since the run began, of a lottery Unix time; the database holds
// them in nanoseconds.
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
//   - The fence is an epoch in the database, over a lock in Redis: whoever rebuilds
//     the sale after a loss of memory counts the ledger's rows, and a writer with
//     entries from before in hand must not add to them; the database alone sees both.
//   - An entry's row keeps what was first said and what was said last; every change has
//     a row of its own with the moment from which it counts. So a list can be read again
//     as it stood at any seal, and it does not matter in which order edits are written.
//   - A list is closed in the transaction that later batches must read: what is written
//     after it counts from the seal on, whatever its own moment.
//   - That one entry of a person stands is a unique index over the live ones. An entry
//     that has expired is found so when another of its person comes, by the moment of
//     that; nothing sweeps.
//   - Wins are checked against the sealed list when they are recorded, all or none.
//   - Reconcile reads and reports, and so does Discrepancies. They never book,
//     refund or delete; package reference repairs what is safe.
package ledger
