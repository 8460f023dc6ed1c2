// Package reference is the backend under load: a reservation service in four
// shapes (lossless, timed-writer, queued, lottery), built of layers that can each
// be switched off, so that a report can show what each is worth.
//
// Open assembles the layers for a Config and serves two listeners: the visitors'
// part, one URL behind which the front spreads requests over the gateway
// instances in turn, and the admin part with metrics, which listens on loopback
// unless told and wants a token. The HTTP contract is package wire's.
//
//	stack, err := reference.Open(ctx, config)
//	ready := stack.Ready()   // addresses, token, store URLs
//	err = stack.Close(ctx)   // stops accepting, finishes what is in flight, drains the writer
//
// A failure of the machine (port in use, folder not writable, store out of reach)
// has ErrEnvironment in its chain.
//
// # Two clocks
//
// The layers run on the process clock, which counts from the Unix epoch and never
// jumps: its offsets travel with the entries of the queue and stay in the ledger,
// so they mean the same to the process that accepts, to the one that writes, and
// to the one that finds them after a crash. The offsets of the run are that clock
// minus a shift: the moment of Open, until POST /admin/start sets it. Only what the
// run defines uses them: opening hours, hours of a class, the coin's epochs,
// samples, marks and waits.
//
// # Roles
//
// One process is everything, or each has a role and they share Redis, the database,
// the event and the secret of the tickets. A gateway serves visitors as one
// instance with its own limiter (its Share of the pooled limits, in whole slots) and
// reads the database only. A writer makes the tables, sets up the sale and writes
// the ledger; of several one has the lease and the others stand by. The edge is a
// proxy before the gateways, which answer config and catalogue as its origin.
// Control hands the admin calls to all members and merges their samples.
//
// A gateway waits for the writer's tables when it starts. Without a sale in the
// store it answers submits with unknown and is not ready; it never says sold out.
// Offset 0 and the changes of the config are noted in the store, so that a process
// that starts in mid-run joins it.
//
// # What a request costs
//
// A status call (the closed check too) and a poll cost their units of gateway
// work, a submit its own. Refusals at the door cost nothing: kill switch, budget,
// ladder, in-flight limit, room, a coin that does not check, a malformed request.
// A submit that passes the door pays in full, whatever stock then answers.
//
// # Decisions
//
//   - The status call before the form and the check after the gate are one path
//     on the wire, so they are counted together as status.
//   - The client's deadline counts at dequeue alone. Once work has begun it is
//     finished: a server that stops half-way through a booking would not know
//     what it has done.
//   - In lossless mode nobody notices that a client has left, neither at dequeue
//     nor at the database: that is how it collapses.
//   - With the queue switched off, a submit books in the database as lossless
//     mode does, and the closed flag is read from there.
//   - The retry budget's cap is ten seconds of first attempts at capacity, at
//     least ten tokens (Finagle's budget forgets after ten seconds).
//   - The lease keeps the modelled rate, not the books: two writers at once lose and
//     double nothing, since every step of a writer may be repeated. So it needs no
//     fencing, and a take-over may be quick: a second of lease, a quarter to see it.
//   - A deployment's writer that is told to stop leaves the queue to the other one; in
//     one process it drains the queue.
//   - Whoever holds a ticket may read its result; a ticket is 128 bits of HMAC.
package reference
