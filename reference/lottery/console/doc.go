// Package console is the page that the notary and the public watch a draw on: its
// state from the open list to the publication, a countdown on the server's clock, the
// seal, the draw while it runs, winners by shop, a proof for who asks, the audit log.
//
// Everybody may read. Who holds the admin token may also make the draw, publish it and
// export lists. Every action goes into the bundle's audit log, a refused one too, with
// the name that was given and the moment.
//
// # What the public sees when
//
// Until the draw is published, the public is shown that it was made and the digest of
// its document, from which on nothing can be changed, and nothing that winners follow
// from: no seed, no secret, no cut-off, no list. The published state is a line
// "publish" of the audit log whose digest is the draw's: it holds without the console,
// and a second console sees it too.
//
// # Decisions
//
//   - The page is made by html/template on the server, whole, and works without its
//     script. The script asks for /live once a second, and when something has changed for
//     the page again, and puts what differs in place. A poll needs no connection that
//     stays open, so that neither a watcher who sleeps nor a proxy between costs
//     anything; server-sent events would save a few hundred bytes a second each.
//   - The token is in the Authorization header and the page's memory only: no cookie, so
//     that no other page can act with it; no URL, so that no log and no history has it.
//   - Signing is not offered: a party's key has no business in a browser. The operator's
//     key and secret are read from their files when the draw is made, not before.
//   - What a wrong token tried is logged, but not without end: beyond refusalsBurst the
//     lines are counted, and the next line tells the count. The log is read from its start
//     for each line, and who has no token must not be able to make that slow.
//   - The name of who has no token is a claim, and the log says so.
//   - Limits are for all together, not by address: behind a proxy all have one address.
//
// # A rehearsal
//
//	spillway lottery sample --entries 50000 --winners 2000
//	spillway lottery seal --rehearsal --day 2020-02-19 --from sample.entries --stock stock.csv --beacon dice.json --key operator.pem
//	spillway lottery console --key operator.pem --clock 2020-02-19T14:59:30+08:00
//
// dice.json names a ceremony, since no drand chain is as old as that day:
//
//	{"kind":"ceremony","ceremony":{"what":"60 dice","by":"the notary","where":"the hall","at":"2020-02-19T15:00:00+08:00","count":60,"min":1,"max":6,"witnesses":2}}
package console
