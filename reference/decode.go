package reference

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"spillway/internal/booking"
	"spillway/internal/wire"
)

// request is what the headers of a visitor's request say.
type request struct {
	user    booking.UserID
	named   bool          // there was a user
	patient time.Duration // how long the client will still wait; 0 = not said
	attempt int           // from 1
	key     string        // idempotency key, "" = none
}

// Limits of the headers.
const (
	patienceMax = time.Hour // a longer one is as good as none said
	attemptMax  = 1 << 16
	keyMax      = 64
)

// decodeHeaders reads and checks the headers. Missing ones keep their zero
// value, the attempt 1; an error names the header that is wrong.
func decodeHeaders(h http.Header) (request, error) {
	q := request{attempt: 1}
	if s, said, err := one(h, wire.HeaderUser); err != nil {
		return q, err
	} else if said {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || !digits(s) {
			return q, fmt.Errorf("%s: want a decimal number", wire.HeaderUser)
		}
		q.user, q.named = booking.UserID(n), true
	}
	if s, said, err := one(h, wire.HeaderDeadline); err != nil {
		return q, err
	} else if said {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || !digits(s) || n == 0 {
			return q, fmt.Errorf("%s: want milliseconds, at least 1", wire.HeaderDeadline)
		}
		q.patient = time.Duration(min(n, uint64(patienceMax/time.Millisecond))) * time.Millisecond
	}
	if s, said, err := one(h, wire.HeaderAttempt); err != nil {
		return q, err
	} else if said {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || !digits(s) || n < 1 || n > attemptMax {
			return q, fmt.Errorf("%s: want a number from 1 to %d", wire.HeaderAttempt, attemptMax)
		}
		q.attempt = int(n)
	}
	if s, said, err := one(h, wire.HeaderKey); err != nil {
		return q, err
	} else if said {
		if len(s) < 1 || len(s) > keyMax {
			return q, fmt.Errorf("%s: want 1 to %d characters", wire.HeaderKey, keyMax)
		}
		for i := range len(s) {
			if s[i] <= ' ' || s[i] > '~' {
				return q, fmt.Errorf("%s: want visible ASCII characters", wire.HeaderKey)
			}
		}
		q.key = s
	}
	return q, nil
}

// one is a header that may be there once.
func one(h http.Header, name string) (value string, said bool, err error) {
	v := h[http.CanonicalHeaderKey(name)]
	switch len(v) {
	case 0:
		return "", false, nil
	case 1:
		return v[0], true, nil
	}
	return "", false, fmt.Errorf("%s: sent %d times, want once", name, len(v))
}

// digits refuses what ParseUint alone would let pass, such as a plus sign.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

var (
	errTooLarge = fmt.Errorf("body: larger than %d bytes", wire.MaxBody)
	errSlowBody = errors.New("body: it took too long")
	errBroken   = errors.New("body: it broke off")
)

// readBody reads a body of at most wire.MaxBody bytes.
func readBody(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, wire.MaxBody+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlowBody
	case err != nil:
		return nil, errBroken
	}
	if len(b) > wire.MaxBody {
		return nil, errTooLarge
	}
	return b, nil
}

// decodeSubmit reads a submit: one JSON object, no unknown field, nothing after it.
func decodeSubmit(body []byte, items int) (wire.Submit, error) {
	var s struct {
		wire.Submit
		Item *int `json:"item"` // a missing item is not item 0
	}
	if err := strict(body, &s); err != nil {
		return wire.Submit{}, err
	}
	if s.Item == nil || *s.Item < 0 || *s.Item >= items {
		return wire.Submit{}, fmt.Errorf("item: want a number from 0 to %d", items-1)
	}
	s.Submit.Item = *s.Item
	return s.Submit, nil
}

// decodeEdit reads an edit as decodeSubmit does a submit.
func decodeEdit(body []byte, items int) (wire.Edit, error) {
	var e struct {
		wire.Edit
		Item *int `json:"item"` // a missing item is not item 0
	}
	if err := strict(body, &e); err != nil {
		return wire.Edit{}, err
	}
	if e.Item == nil || *e.Item < 0 || *e.Item >= items {
		return wire.Edit{}, fmt.Errorf("item: want a number from 0 to %d", items-1)
	}
	e.Edit.Item = *e.Item
	return e.Edit, nil
}

// strict decodes exactly one JSON object without unknown fields. Its errors do
// not repeat what was sent.
func strict(body []byte, into any) error {
	if b := bytes.TrimLeft(body, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return errors.New("body: want one JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("body: field %.40q has the wrong type", kind.Field)
		}
		return errors.New("body: want one JSON object with known fields")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("body: want nothing after the JSON object")
	}
	return nil
}
