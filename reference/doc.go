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
// # Faults
//
// Package fault has the words. A fault works on the live stack: links between its
// parts that delay, hold or cut (internal/netfault), hooks of the clients of Redis, the
// embedded stores themselves. Each ends by itself, and a stop ends all of them.
//
//   - The gateways and the writer have connections of their own to both stores, so that
//     each pair can be cut by itself; the watch, and a deployment's lease, have others
//     that no pair's fault touches.
//   - A killed instance cuts the connection of every request it had in hand when that
//     would have been answered; the work that was begun stands, and the same
//     idempotency key tells. The visitor is told nothing, which is the truth.
//   - A killed writer's calls fail from then on, and the one under way with them; the
//     next writer has another name in the consumer group and claims what was pending
//     after the queue's idle time.
//   - The embedded Redis is really closed, restarted, emptied or locked, and SQLite is
//     really full: its pages may not grow in number.
//   - Of the wall clock the backend reads the coin's epoch and the start of a run, once
//     each; all else runs on the process clock. The store's own clock times the claims
//     of pending entries and the lease: after a step back these wait until it is made up.
//
// # When Redis loses its memory
//
// What is sold is in the ledger; what is accepted and not yet written was in Redis
// alone. So every gateway keeps an outbox, in memory: what it has told its clients
// to be accepted, until the result cache calls it settled (stock.Tend). Ten times a
// second it asks the cache about these; what the cache no longer knows was lost,
// and is offered again.
//
// Every process with a writer has a Guard, which looks ten times a second whether
// the sale is there. When the state or the stream is gone, or Redis has gone back
// in time (each look leaves a growing beat in it), submits are answered unknown and
// one Guard rebuilds, under a lock in Redis: it begins a new epoch in the ledger, so
// that no writer adds what it had read before; waits the grace for the gateways'
// offers (Config.Stock.Grace); reads queue, dead letters and offers, and the ledger
// last, in one snapshot; gives every holder the ticket that he had; queues again
// what waits in no queue; sets free = stock - ledger - waiting; and opens the sale.
// A Guard that dies on its way is replaced after stock.LockLife, and a loss in the
// middle of a rebuild begins it anew. An offer that comes later is accepted again if
// its reservation is still free, else the ledger refuses it. A replayed submit gets
// its old ticket: that is an HMAC of user and key.
//
//   - A double fault loses: a ticket whose every gateway died before the ledger had
//     it, and which Redis then forgot, is gone. With the embedded Redis, which dies
//     with its process, this is what a kill -9 of the process does. Whoever repeats
//     the submit gets the same ticket again, while stock lasts.
//   - A fail-over that loses less than the tenth of a second since the last beat is not
//     seen. What was accepted in it is offered again; what was accepted and written
//     in it is counted as free once more, until Repair finds the drift.
//   - Audit trail and dead letters live in Redis and are lost with it. A letter's
//     ticket is offered by its gateway and goes to the writer once more; a discard is
//     a refusal in the ledger first, which outlives Redis.
//   - What a dead writer had in hand is claimed by the other after queue.DefaultIdle and
//     at the most half of that more. So long the result cache may say pending of a
//     ticket that the ledger has confirmed.
//
// A crash point is a moment before or after a step that changes a store (points.go);
// Config.Crash names one, and the process kills itself there. Package crashtest has
// the schedules. What stores disagree on, Repair names, and mends where that is safe.
//
// # What a request costs
//
// A status call (the closed check too) and a poll cost their units of gateway
// work, a submit its own. Refusals at the door cost nothing: kill switch, budget,
// ladder, in-flight limit, room, a coin that does not check, a malformed request.
// A submit that passes the door pays in full, whatever stock then answers.
//
// # Hostile clients
//
// Each is refused or harmless, and counted in spillway_front_refused_total by
// kind (door.go lists them). A client costs at the most
//
//	to connect and say nothing     5 s of a connection (silent)
//	to send a header               5 s, 8 KiB (slow-header, large-header)
//	to send a body                 5 s, 4 KiB, wherever it is sent (slow-body, large-body)
//	to wait between two requests   2 min of a connection
//	to take an answer              10 s for each 64 KiB (slow-reader)
//
// and there are at most Config.Connections of them (16,384, or what the files of
// the process allow less 512). Beyond that the connection which has been longest
// without a whole request makes room; when each has one in hand the newcomer is
// turned away (connections). An idle connection takes 10 kB (BenchmarkIdleConnection),
// the default bound so 160 MB. The admin part holds 256. What no server can tell by itself is left to the edge before it: a
// share for each address, and TLS.
//
// Bodies come with a Content-Length and with POST or PUT only; anything else is refused
// and the connection ends, so that no two readers see different requests in it
// (framing). A peer that vanishes without a word is one of the above.
//
// Another's idempotency key is refused and takes nothing (key); where keys make
// the ticket alone, as in lossless mode, it is another ticket. A ticket is 96 bits
// of HMAC-SHA-256 under Config.Secret and a mark of 32 over them, so that a guess is
// told unknown before any store is asked (ticket). The coin is checked against user and epoch (coin). The
// admin token is compared in constant time (token).
//
// # Phone numbers
//
// With Config.Phones a person is told by the number of the submit, which is
// required: one live reservation a number and cycle, whatever the user. Of a number
// 64 bits of HMAC-SHA-256 under the secret are kept, as the person of the ledger,
// and nothing else; who has no secret cannot try all numbers. It is in no log,
// metric, answer or store. Idempotency keys are then an account's own, so whoever
// knows number and key of another still gets no ticket. That a number is the
// caller's own is for the account system before us to prove; here a stranger who
// claims it learns by duplicate that it holds a reservation. Who changes the secret
// forgets who has booked.
//
// # The lottery
//
// In mode lottery an entry goes the way of a submit, and so do its edits and its
// withdrawal, each under a ticket of its own (package lottery). Who has the ticket may
// read, edit and withdraw: with phone numbers too, the number is asked for once.
// Moments are civil, so this mode wants clocks that are right to far less than the
// half hour between the last edit and the seal; what a gateway whose clock is behind
// sends after the seal is refused, to be tried again. CloseDay ends what takes part in a
// day's draw; ledger.DB has the steps after it.
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
//   - Whoever holds a ticket may read its result; a ticket is 96 bits of HMAC and a
//     mark of 32. Without a secret the mark is not asked for: a restart makes others.
//   - A backend goes by users or by phone numbers, never by either as the client
//     likes: one person would be two.
//   - The number is in the body: URLs and headers end up in the logs of proxies.
//   - At the bound of connections the idle make room, over accepting no more: the
//     honest would stand in line behind those who hang.
package reference
