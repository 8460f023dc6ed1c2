package booking

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Accepted is a submit that stock has accepted: what travels through the queue
// to the ledger. Stock writes it, the queue carries it, the ledger keeps it.
type Accepted struct {
	Ticket Ticket
	User   UserID
	Item   int
	At     time.Duration // offset at which it was accepted
	Other  bool          // lottery: takes another type in the same shop
	Senior bool          // lottery: registered once for good
	// Change says that it changes a lottery entry, which Entry names; its own ticket
	// names the change. 0 = it is a booking or an entry itself.
	Change Change
	Entry  Ticket
}

// Change is what a change does to a lottery entry.
type Change uint8

// The changes.
const (
	// ChangeEdit gives it the item and the other of the change.
	ChangeEdit Change = iota + 1
	// ChangeWithdraw ends it.
	ChangeWithdraw
)

var changes = names{"", "edit", "withdraw"}

// String returns the change's name.
func (c Change) String() string { return changes.of(int(c)) }

// Delivery is an accepted submit as a queue hands it out, once or more often.
type Delivery struct {
	Accepted
	ID    string // the queue's own name for the entry, for the acknowledgement
	Count int    // how often it has been handed out, this time included
}

// ItemMax is the largest number of an item.
const ItemMax = 1<<16 - 1

// The first field of the text form: 1 for what needs no more, 2 for a senior's entry
// and for changes.
const (
	acceptedVersion = "1"
	lotteryVersion  = "2"
)

// Encode is the text form that ParseAccepted reads: version, ticket, user, item,
// offset in nanoseconds, other as 0 or 1, with a space between; in version 2 then
// senior as 0 or 1, the change's number, and the ticket of the entry it changes.
func (a Accepted) Encode() string {
	b := make([]byte, 0, 128)
	long := a.Senior || a.Change != 0 || !a.Entry.IsZero()
	if long {
		b = append(b, lotteryVersion...)
	} else {
		b = append(b, acceptedVersion...)
	}
	b = append(b, ' ')
	b = a.Ticket.append(b)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(a.User), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(a.Item), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(a.At), 10)
	b = append(b, ' ', digit(a.Other))
	if long {
		b = append(b, ' ', digit(a.Senior), ' ')
		b = strconv.AppendUint(b, uint64(a.Change), 10)
		b = append(b, ' ')
		b = a.Entry.append(b)
	}
	return string(b)
}

func digit(on bool) byte {
	if on {
		return '1'
	}
	return '0'
}

// ParseAccepted is the inverse of Encode. It accepts exactly what Encode writes
// and fails on anything else, without ever panicking. On failure the ticket is
// still filled in when that much could be read, so that a damaged entry can be
// traced to its owner.
func ParseAccepted(s string) (Accepted, error) {
	var a Accepted
	bad := func(what string) (Accepted, error) {
		return Accepted{Ticket: a.Ticket}, fmt.Errorf("entry %.80q: %s", s, what)
	}
	version, rest, _ := strings.Cut(s, " ")
	if version != acceptedVersion && version != lotteryVersion {
		return bad("want version " + acceptedVersion + " or " + lotteryVersion)
	}
	ticket, rest, _ := strings.Cut(rest, " ")
	t, err := ParseTicket(ticket)
	if err != nil || t.IsZero() {
		return bad("bad ticket")
	}
	a.Ticket = t
	user, rest, _ := strings.Cut(rest, " ")
	u, err := strconv.ParseUint(user, 10, 64)
	if err != nil {
		return bad("bad user")
	}
	item, rest, _ := strings.Cut(rest, " ")
	i, err := strconv.Atoi(item)
	if err != nil || i < 0 || i > ItemMax {
		return bad("bad item")
	}
	at, rest, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return bad("bad offset")
	}
	other, rest, _ := strings.Cut(rest, " ")
	a.User, a.Item, a.At, a.Other = UserID(u), i, time.Duration(n), other == "1"
	if version == lotteryVersion {
		senior, rest, _ := strings.Cut(rest, " ")
		change, entry, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(change, 10, 8)
		if err != nil || Change(n) > ChangeWithdraw {
			return bad("bad change")
		}
		if a.Entry, err = ParseTicket(entry); err != nil || a.Entry.IsZero() != (n == 0) {
			return bad("bad ticket of the entry")
		}
		a.Senior, a.Change = senior == "1", Change(n)
	}
	if a.Encode() != s { // one text for one value: no leading zeros, no trailing words
		return bad("not in canonical form")
	}
	return a, nil
}
