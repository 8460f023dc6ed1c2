// Package lottery is the lottery that took the rush's place: people enter around the
// clock, an entry stays valid for ten days, and winners are drawn each day.
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
//	err = lottery.VerifyReceipt(pub, r)
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
package lottery
