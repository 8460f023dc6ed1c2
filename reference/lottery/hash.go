package lottery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 digest; as text, 64 lower-case hex digits.
type Hash [sha256.Size]byte

// String is the digest as text.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (h *Hash) UnmarshalText(b []byte) error { return unhex(h[:], b, "digest") }

// IDBytes is the length of an ID: 128 bits, so that two of 30 million people share
// one with a chance of 10^-24.
const IDBytes = 16

// ID is the name under which an entry stands in the sealed list: 16 bytes, as text 32
// lower-case hex digits. See PublicID.
type ID [IDBytes]byte

// String is the id as text.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (id *ID) UnmarshalText(b []byte) error { return unhex(id[:], b, "entry id") }

// ParseID is the inverse of String.
func ParseID(s string) (id ID, err error) { return id, id.UnmarshalText([]byte(s)) }

// unhex fills into with lower-case hex digits, exactly as many as it takes.
func unhex(into, text []byte, what string) error {
	if len(text) == 2*len(into) {
		if _, err := hex.Decode(into, text); err == nil && string(hex.AppendEncode(nil, into)) == string(text) {
			return nil
		}
	}
	return fmt.Errorf("lottery: %s %.80q: want %d lower-case hex digits", what, text, 2*len(into))
}

// digest is the hash of a domain and parts, each part after its length, so that no
// two lists of parts have the same bytes.
func digest(domain string, parts ...[]byte) (h Hash) {
	s := sha256.New()
	s.Write([]byte(domain + "\x00"))
	for _, p := range parts {
		s.Write([]byte{byte(len(p) >> 24), byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p))})
		s.Write(p)
	}
	s.Sum(h[:0])
	return h
}
