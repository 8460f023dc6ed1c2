package lottery

import (
	"crypto/sha256"
	"encoding/binary"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

const (
	idLabel     = "spillway lottery entry v1\x00"
	changeLabel = "spillway lottery change v1\x00"
)

// PublicID is the first 16 bytes of SHA-256 over "spillway lottery entry v1", a zero
// byte and the 16 bytes of the ticket. Whoever has the ticket can work it out, and nobody
// can go back: the ticket reads results and changes the entry, so it must be in no
// list. An edit keeps the ticket and so the id.
func PublicID(t booking.Ticket) (id ID) {
	sum := sha256.Sum256(append([]byte(idLabel), t[:]...))
	copy(id[:], sum[:])
	return id
}

// changeTicket names a change of an entry, so that the same wish is the same change
// whichever gateway takes it and however often: an edit by its day and what it says, a
// withdrawal by itself. Who does not have the entry's ticket cannot make it.
func changeTicket(entry booking.Ticket, c booking.Change, day policy.Day, item int, other bool) (t booking.Ticket) {
	b := append([]byte(changeLabel), entry[:]...)
	b = append(b, byte(c))
	if c == booking.ChangeEdit {
		b = binary.BigEndian.AppendUint32(b, uint32(day))
		b = binary.BigEndian.AppendUint32(b, uint32(item))
		if other {
			b = append(b, 1)
		}
	}
	sum := sha256.Sum256(b)
	copy(t[:], sum[:])
	return t
}
