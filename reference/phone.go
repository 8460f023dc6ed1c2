package reference

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"spillway/internal/booking"
)

// secretMin is the shortest secret of a deployment, in bytes.
const secretMin = 32

// Lengths of an international number, in digits (ITU-T E.164, sections 6.2.1 and
// 6.3: at most 15; the shortest in use have 7).
const (
	phoneDigitsMin = 7
	phoneDigitsMax = 15
)

var errPhone = errors.New("phone: want +COUNTRY and the number, or a mainland mobile of 11 digits")

// normalPhone is a telephone number as country code and digits, without a plus.
// Spaces, hyphens, dots and brackets are passed over; 00 stands for the plus; 11
// digits that begin as mainland mobiles do get 86. The error does not repeat it.
func normalPhone(text string) (string, error) {
	if len(text) > 40 {
		return "", errPhone
	}
	international := false
	var digits []byte
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			digits = append(digits, c)
		case c == '+' && len(digits) == 0 && !international:
			international = true
		case strings.IndexByte(" -.()", c) < 0:
			return "", errPhone
		}
	}
	number := string(digits)
	if rest, has := strings.CutPrefix(number, "00"); has && !international {
		number, international = rest, true
	}
	switch {
	case international && len(number) >= phoneDigitsMin && len(number) <= phoneDigitsMax && number[0] != '0':
		return number, nil
	case !international && len(number) == 11 && number[0] == '1' && number[1] >= '3':
		return "86" + number, nil
	}
	return "", errPhone
}

// people keys what identifies a person. Nothing that it returns leads back to the
// number without the secret.
type people struct{ secret []byte }

// person is whom a normal number belongs to: 64 bits of an HMAC-SHA-256. Among
// ten million numbers the chance that any two are taken for one is 3 in a million.
func (p people) person(number string) booking.UserID {
	return booking.UserID(binary.BigEndian.Uint64(p.sum("phone|" + number)))
}

// key is an account's idempotency key as stock sees it. It is the account's own:
// whoever else learns key and number does not get the ticket.
func (p people) key(account booking.UserID, key string) string {
	return hex.EncodeToString(p.sum("key|" + strconv.FormatUint(uint64(account), 10) + "|" + key)[:16])
}

// sum is the HMAC of a labelled text; a ticket's text begins with a digit, so the
// three never meet.
func (p people) sum(text string) []byte {
	h := hmac.New(sha256.New, p.secret)
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}
