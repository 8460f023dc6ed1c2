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
// The layers run on the process clock, which begins at Open and never jumps. The
// offsets of the run are that clock minus a shift, which POST /admin/start sets.
// Only what the run defines uses them: opening hours, hours of a class, the
// coin's epochs, samples, marks and waits.
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
//   - Whoever holds a ticket may read its result; a ticket is 128 bits of HMAC.
package reference
