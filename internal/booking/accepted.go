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
}

// Delivery is an accepted submit as a queue hands it out, once or more often.
type Delivery struct {
	Accepted
	ID    string // the queue's own name for the entry, for the acknowledgement
	Count int    // how often it has been handed out, this time included
}

// ItemMax is the largest number of an item.
const ItemMax = 1<<16 - 1

// acceptedVersion is the first field of the text form.
const acceptedVersion = "1"

// Encode is the text form that ParseAccepted reads: version, ticket, user, item,
// offset in nanoseconds, 0 or 1, with a space between.
func (a Accepted) Encode() string {
	b := make([]byte, 0, 80)
	b = append(b, acceptedVersion...)
	b = append(b, ' ')
	for _, c := range a.Ticket {
		b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(a.User), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(a.Item), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(a.At), 10)
	if a.Other {
		return string(append(b, " 1"...))
	}
	return string(append(b, " 0"...))
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
	if version != acceptedVersion {
		return bad("want version " + acceptedVersion)
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
	at, other, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return bad("bad offset")
	}
	a.User, a.Item, a.At, a.Other = UserID(u), i, time.Duration(n), other == "1"
	if a.Encode() != s { // one text for one value: no leading zeros, no trailing words
		return bad("not in canonical form")
	}
	return a, nil
}
