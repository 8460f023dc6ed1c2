// Package lottery is the desk that takes lottery entries: around the clock, one a
// user, counted. The draw itself reads them from the ledger later.
//
// An entry goes the way of a submit (stock's store in its entries form, the
// queue, the ledger's entries table), so that what was accepted is not lost; the
// desk knows only the two methods that it needs of that way.
package lottery
