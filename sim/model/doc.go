// Package model is the evening in virtual time: visitors one by one, and every
// layer of the service between them and their booking. It runs on the plain
// sequential kernel of package des and shares policy, draws and scenario with the
// attack and the reference backend; of the backend it shares the rules, written
// out a second time, and no code. People are simulated in windows of time on all
// cores (package window); the plain kernel leads the servers, and with Options.Plain
// the people too, as the oracle.
//
// One file a layer, named as everywhere:
//
//	visitors   policy.Program, users, funnel       requests  network, patience, answers
//	edge       copies, lives, origin fetches       admission config in force, claims of the coin
//	gateway    slots, room, drop, limits, ladder   work      what a request does once it is served
//	stock      duplicate, stock, bound: one step   ledger    writer, result cache, synchronous database
//	faults     changes and faults of the scenario  watch     samples
//	books      conservation and the invariants     tally     histograms and counters
//	windows    who leads whom, window by window    shard     a part of the people
//	calls      status calls answered at once       slots     the gateways' slots
//	crowd      what becomes of visits              cold      a visit that waits, packed
//	ahead      lost presses counted at once        moments  when visits were replaced
//	foresee    answers known beforehand
//
// # What a request meets
//
// Half the network's round trip; the edge, or a gateway's door; there the refusals
// that cost nothing; the room; a slot for its units of work, during which its own
// work runs (the closed flag, stock, the database); the answer, after the
// gateway's overhead and the other half. A client whose patience ends first is told
// "timeout"; its work is done all the same, unless it is dropped at dequeue. The
// moments at which a rule looks at the clock are the backend's: opening hours and
// claims count at arrival, the life of a closed flag at the start of service, the
// deadline at dequeue alone.
//
// # Order
//
// In one moment the scenario's changes and faults come first, then the servers,
// then people, then whoever takes samples. Among the servers what was scheduled first
// goes first and requests that arrive come last, by visit; people go by visit. So
// the order does not depend on who schedules what when, and both engines have it.
//
// # Windows
//
// The servers do a window of 268 ms while the shards of the people do the next; type
// windows says who leads whom, and nobody waits for a step of all. Nothing is rounded to
// a window: the record is the plain engine's byte for byte, at any width and number of
// shards, which the tests demand of every scenario with every layer off in turn, and of
// crowds so dense that people open the program again while their config is on its way. It
// rests on what a visit may do without anybody knowing: between an answer and the next
// request lie seconds of locks and think times, a copy at the edge cannot be replaced
// while it lives, and whether a newer visit has taken a visit's place depends on arrivals
// alone.
//
// Status calls, checks, submits and polls are answered at once, without an event, while
// all that will happen to them is known: a slot is free or the door refuses, no store
// fails, the answer is in time, and nobody of the same user may come before it. Where
// that does not hold the servers' part leads the visit itself, on the plain kernel: for
// as long as it does not, for a form filled in less than three windows (one in a
// million), and for anybody whose config is not at the edge.
//
// Presses that the gate refuses reach no server and follow from the visit's draws alone:
// a shard counts them ahead of time, up to the press that passes or the lock after which
// the visit gives up, and lets it wait for that. Only a newer visit of the same user can
// come between; then what was counted beyond its arrival is taken back. A config that is
// at the edge is its client's at once, unless its user comes again within the round trip.
//
// A status call gets an answer that is known long before, and at a moment that is known
// too, as long as a slot is free: before the opening to wait, once all is sold that it is
// closed, and in between, if stock is ample, load falls and the catalogues are at the
// edge, that it is open. Such calls a shard answers as soon as the program stands open,
// its lost presses with them, and most visits are over with that: they wait in no
// calendar. The servers are told when the calls will come, serve them in order and hold
// each against what was foreseen. Whose first call comes when the catalogues may have to
// be fetched anew is led so from that call on, if they have been. If a newer visit of the
// user comes between, the path is gone again from its draws and the rest taken back. If
// an answer comes otherwise the run begins anew without foreseeing that one. Fewer than 5
// million visits, faults, and services that vary are not tried at all.
//
// # What is not modelled
//
//   - The code's own cost: calls of the store, transactions, the script's
//     micro-batches (so the switch "batch" changes nothing), collections of
//     garbage, lateness. Options.Network and Overhead stand for what of it every
//     request pays; the tails of these are not there.
//   - Losses of the network, dead letters (no row is ever refused by the database),
//     the draw of the lottery. Faults that would need them are refused; those that can be
//     are the ones that take a store, the writer, gateways, the edge's origin or all of
//     the service away: submits then fail at once, the writer waits, instances are passed
//     over, copies grow old, whoever asks is not reached. What was in hand when a gateway
//     was killed or an outage began is answered.
//
// # Decisions
//
//   - Service times and the code's own constants shrink with the time scale, which
//     makes the similarity law exact: a run at k = 4 is the run at k = 1 four times
//     as fast (a test says so). Options.Unscaled keeps them, as the attack must.
//   - The writer's beat has a phase drawn from the seed: the backend is started
//     long before, and nobody knows where its beat stands (Options.Phase tells).
//     Over 20 phases of the default scenario "busy" spreads from 266 to 323 and
//     "sold-out" from 112 to 180, their sum from 432 to 473.
//   - Histograms of a long run have wide bins away from the opening, as wide as its
//     figures draw them: six hours by the second would be a third of a million.
//   - The coin's salt is the backend's of the same seed, not the scenario's, so that
//     both arms toss the same coin.
//   - The edge starts cold; the attack's has the config it was asked for before
//     the start. It is one fetch.
//   - A user's client takes 20 bytes and is looked up by number, since there are
//     five million. policy.User is made from it for each decision.
//   - What most visits do (read the notice, ask, be told to wait or that all is gone,
//     press and lose) a shard does on the spot, with the policy's own parts but without
//     its Visitor, for a third of the cost. That it does the same is the tests' to say.
//   - Who pressed first is remembered exactly for up to a million pressers, then to
//     one in 2^18 of the run.
//   - Tables that are met in no order ask for huge pages, 17 ns a meeting and not 49, and
//     what is about to be met is fetched meanwhile, for 16 visits at a time.
//   - Two cores have two shards, more have four: a window has a cost by itself. Whoever
//     waits for the other core draws the arrivals of windows to come.
//   - The closed flag in the synchronous modes costs nothing, as in the backend,
//     where it is one query past the modelled station.
package model
