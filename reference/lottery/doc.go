// Package lottery is the service's last shape: entries at any hour, and a draw that
// anyone can check. The desk takes entries; the rest is a day's draw, which knows no
// backend: a list, a stock list, and what became of them.
//
// An entry goes the way of a submit (stock's store in its entries form, the queue,
// the ledger's entries table), so that what was accepted is not lost; the desk knows
// only the methods that it needs of that way.
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
// An entry is 32 bytes under the person's id, a keyed hash. Entries stand in the order
// of ids, each once: so one list has one form, a person in it twice is seen by anyone,
// and two neighbours prove that nobody stands between them. Over the list is the tree
// of RFC 6962; a proof is 25 hashes at 30 million entries.
//
// The id is the same every day. That lets anybody see that who has won is in no list
// while he waits (Verify with earlier bundles), and lets who knows a person's id
// follow his luck. Ids by ticket, new with each entry, would hide that and would leave
// the wait to the operator's word.
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
//   - Ids by person, not by ticket (above).
//   - Sorting on disk in 256 files, so that memory does not grow with the list; the
//     draw's grows with winners and reserves only.
//   - draw.json is written last: with it a draw is made, without it there is none.
//   - The audit log is part of the bundle, each line with its hash and that of the
//     line before. Who can write the file can write its last lines anew; whoever
//     noted the head sees it.
//
// # Speed
//
// Two shared cores, AMD EPYC (Zen 5), BenchmarkSealAndDraw: see its output; the floor
// is three hashes an entry: leaf, node, ticket.
package lottery
