// Package lottery is the lottery that took the rush's place: people enter around the
// clock, an entry stays valid for ten days, and winners are drawn each day, in a draw
// that anyone can check. The desk takes entries; the rest is a day's draw, which knows
// no backend: a list, a stock list, and what became of them.
//
// # The desk
//
// The desk takes entries, edits and withdrawals by the rules of policy.LotteryRules.
// Each goes the way of a submit (stock's store in its entries form, the queue, the
// ledger), so that what was accepted is not lost; the desk knows only the few methods
// that it needs of that way.
//
//	d := lottery.New(store, ledger, rules, clock) // the clock counts Unix time
//	a, err := d.Enter(ctx, lottery.Request{User: 7, Item: 3, Key: "k", Other: true})
//	a, err = d.Edit(ctx, ticket, item, other)     // once a day, in the window
//	a, err = d.Withdraw(ctx, ticket)              // at any hour
//	a, err = d.Look(ctx, ticket)                  // the entry as the ledger holds it
//	r := a.Holding.Receipt(ticket); r.Sign(key)   // what an entrant can prove
//	err = r.Verify(public)                        // and Fate.Holds: whether a list keeps it
//
// An answer says what happened: queued with the ticket, or a refusal in words with the
// moment from which the same wish may be granted.
//
// # At the stated hour
//
// An entry, an edit and a withdrawal count from the moment at which the store accepted
// them, and a draw is over what stood at the seal of the evening before. Whoever seals
// (reference.CloseDay) tells the store first: from then on nothing of an earlier
// moment is accepted, by whatever gateway's clock. Then all that was accepted is
// written, and only then the ledger closes the list. What a disaster has held back
// beyond that, Redis's memory lost and a gateway offering it late, counts from the
// seal on, for the next draw: it cannot get into the sealed list, and no list read
// later differs from the one that was sealed. Between 22:00 and midnight people enter
// for the draw after next day's.
//
// # A day
//
//	22:00  MakeSeal   the list in canonical order, its tree, the commitment, the beacon's name
//	       Give       the bundle and the secret to each party; Sign by each
//	15:00  Draw       the beacon's value is known: seed, two rounds, reserve lists
//	       Verify     anybody, from the bundle alone
//	       Prove      one entrant, from a proof alone
//
// Hours are those of LotteryRules in internal/policy; the bundle holds them as
// moments and knows no others.
//
// # The list
//
// An entry is 32 bytes under its id, a hash of the ticket that its holder has. Entries
// stand in the order of ids, each once: so one list has one form, an entry in it twice
// is seen by anyone, and two neighbours prove that nothing stands between them. Over the
// list is the tree of RFC 6962; a proof is 25 hashes at 30 million entries.
//
// An entry keeps its id from day to day, so anybody sees that one that has won is in no
// list while its holder waits (Verify with earlier bundles). A person who enters anew
// has a new id: that one person has one entry, and waits with a new one too, is the
// ledger's to keep (a unique index) and its auditor's to see. Ids by person would show
// it to all, and would let who knows one follow a person's luck; the holder could not
// work them out alone.
//
// # The draw
//
//	seed   = SHA-256(root, secret, randomness, day, digest of the seal)
//	ticket = SHA-256(seed ∥ id)
//
// The smallest tickets of a line win. So the draw does not depend on the order of the
// list, on shards or on cores; one person's ticket needs no other's; and one entry more
// changes who else wins only by moving the cut-off. Round 1 keeps all tickets below a
// threshold that leaves a few more than are wanted and sorts those; what is left over
// in a shop is drawn again, with fresh tickets, among those who lost there and take
// another type. The reserve list is who comes next.
//
// # Who can bend it
//
//   - The operator, before the seal: entries can be added, left out or changed until
//     the root suits (grinding). It suits nobody while the beacon's value is unknown:
//     MakeSeal refuses a beacon that is known or nearly known at the cut-off, and
//     Verify does so from the seal alone. What was left out, its receipt and the
//     proof of absence show; what was added stands in the list for all to count.
//   - The operator, after the beacon: the secret could be withheld when the result does
//     not suit (one draw or another: two tries instead of one). So each party gets the
//     secret with the seal. Before the beacon it tells nothing; after it any one of them
//     can draw, and withholding takes all of them.
//   - The operator, by declaring the draw void: that is withholding in the open. It is
//     there for a beacon that never comes, so that the days after are not held up; it
//     stands in the audit log for good, and with it whether the result could be known.
//   - The operator, by making the seal anew: every party has signed or at least holds
//     the old one; its digest is one line to write down (VerifyOptions.Digest).
//   - The beacon's makers: they could know or choose the value, but not the secret,
//     which is committed to. Both together could grind. See package beacon for each
//     kind.
//   - A party, by showing the secret early: with a beacon that is not its own to make
//     it gains nothing.
//   - Anybody, by many identities: that is between the desk and who checks people. The
//     draw sees ids.
//
// What the numbers of one draw can and cannot show is in reports/fairness. That the
// process left no choice is shown here, and only here.
//
// # Decisions
//
//   - The moment of acceptance decides, over that of writing: a person is judged by
//     what he did, not by how long the queue was.
//   - A person's place in the store is given up when somebody finds it over (Enter),
//     by the ledger's word: no clock has to go round at midnight and free places.
//   - A change travels under a ticket of its own, made of the entry's ticket and of what
//     it says. So the queue, the dead letters, the result cache and the books treat it
//     as any acceptance, and the same wish, sent twice, is one.
//   - An edit needs its entry written, some hundredths of a second after it was
//     accepted: so the person is the one who the ledger says, and whoever sends an
//     edit need not say who he is. The ticket is the key.
//   - Once a day is kept twice: by the store's script for what waits, by a unique index
//     of the ledger for what is written. When Redis forgot one in between, the ledger
//     refuses the second.
//   - Whoever withdraws sits out a draw. Else to withdraw and enter anew would be an
//     edit at any hour, with ten new days.
//   - A win counts for the desk when it is published, three hours after the draw: before
//     that an answer would give it away. The ledger counts it at once.
//   - A receipt proves what the ledger held when it was given. It does not show that its
//     holder has not edited or withdrawn since; the next receipt, or the change under
//     the entry's own ticket, does that. That somebody is as old as 65 is for the
//     account system to prove.
//   - Sealing sorts in memory up to a gigabyte, 33 million entries, and what is more
//     than that on disk, so that no list is too long; the draw's memory grows with
//     winners and reserves only.
//   - draw.json is written last: with it a draw is made, without it there is none.
//   - The audit log is part of the bundle, each line with its hash and that of the
//     line before. Who can write the file can write its last lines anew; whoever
//     noted the head sees it.
//
// # Speed
//
// 30,000,000 entries of 193 lines, 305,795 winners, on two shared cores (AMD EPYC, Zen 3),
// BenchmarkSealAndDraw: sealed in 8.0 to 8.3 s, sealed and drawn in 11.1 to 11.7 s,
// verified in 7.7 to 8.1 s, one proof in 6 ms, 1.4 GiB. That is 1.8 to 2.0 times what the
// three hashes an entry take alone (leaf, node, ticket), of which half is the library's
// work around each block; the rest is sorting and passing over the list three times.
package lottery
