package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
)

var (
	// ErrNoLetter is wrapped when no dead letter has the id asked for.
	ErrNoLetter = errors.New("no such dead letter; list them first")
	// ErrNobody is wrapped when an action on a dead letter does not say who acts.
	ErrNobody = errors.New("say who acts: the audit trail needs a name")
	// ErrUndecodable is wrapped when a letter that nothing can read is replayed.
	ErrUndecodable = errors.New("the letter cannot be decoded and would only come back; discard it")
)

// Letter is a dead letter: an entry that was given up and waits for a person.
type Letter struct {
	ID       string           // its own id among the dead letters
	Entry    string           // the id it had in the queue
	Accepted booking.Accepted // the entry; only Ticket is set, if that, when Decoded is false
	Decoded  bool
	Raw      string        // the entry as it was
	Reason   string        // why it was given up
	Attempts int           // how often it had been handed out
	At       time.Duration // offset at which it died
}

// Act is one line of the audit trail.
type Act struct {
	ID     string
	At     time.Duration  // offset
	Who    string         // as given
	What   string         // "replay", "discard", or "close" of a letter whose ticket was settled, or "repair"
	Why    string         // as given
	Letter string         // id of the dead letter
	Ticket booking.Ticket // zero when the letter could not be decoded
}

// buryScript moves an entry to the dead letters once: only whoever acknowledges
// it writes the letter. Keys: stream, dead. Arguments: group, entry, raw, reason,
// attempts, offset.
var buryScript = redis.NewScript(`
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'entry', ARGV[2], 'e', ARGV[3], 'reason', ARGV[4], 'attempts', ARGV[5], 'at', ARGV[6])
return 1
`)

// actScript takes a dead letter away once, writes who did it, and puts the entry
// back into the queue when told to. Keys: dead, audit, stream. Arguments: letter,
// raw, what, who, why, offset, ticket.
var actScript = redis.NewScript(`
if ARGV[3] == 'replay' and redis.call('EXISTS', KEYS[3]) == 0 then return -1 end
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'letter', ARGV[1], 'what', ARGV[3], 'who', ARGV[4], 'why', ARGV[5],
  'at', ARGV[6], 'ticket', ARGV[7], 'e', ARGV[2])
if ARGV[3] == 'replay' then redis.call('XADD', KEYS[3], 'NOMKSTREAM', '*', 'e', ARGV[2]) end
return 1
`)

// ScriptNames names the scripts of this package by their SHA-1, for whoever
// watches the calls of a client. "letters.act" is a replay, a discard or a close.
func ScriptNames() map[string]string {
	return map[string]string{buryScript.Hash(): "queue.bury", actScript.Hash(): "letters.act"}
}

// reasonMax bounds what is kept of a reason, in bytes: it may quote an entry.
const reasonMax = 300

func (q *Queue) bury(ctx context.Context, id, raw string, attempts int, reason string) error {
	if len(reason) > reasonMax {
		reason = reason[:reasonMax]
	}
	err := buryScript.Run(ctx, q.client, []string{q.stream, q.dead},
		group, id, raw, reason, attempts, int64(q.opts.Clock.Now())).Err()
	if err != nil {
		return fmt.Errorf("queue: moving entry %s to the dead letters: %w", id, err)
	}
	q.letGo(id)
	return nil
}

// buryByID buries an entry that nobody has read just now.
func (q *Queue) buryByID(ctx context.Context, id string, attempts int) error {
	ms, err := q.client.XRangeN(ctx, q.stream, id, id, 1).Result()
	if err != nil {
		return fmt.Errorf("queue: reading entry %s: %w", id, err)
	}
	if len(ms) == 0 { // deleted and yet pending: nothing is left to keep
		if err := q.client.XAck(ctx, q.stream, group, id).Err(); err != nil {
			return fmt.Errorf("queue: dropping the deleted entry %s: %w", id, err)
		}
		return nil
	}
	text, _ := ms[0].Values["e"].(string)
	return q.bury(ctx, id, text, attempts, fmt.Sprintf("handed out %d times and never acknowledged", attempts))
}

func letter(m redis.XMessage) Letter {
	field := func(k string) string { s, _ := m.Values[k].(string); return s }
	l := Letter{ID: m.ID, Entry: field("entry"), Raw: field("e"), Reason: field("reason")}
	l.Attempts, _ = strconv.Atoi(field("attempts")) // our own script wrote it; 0 when damaged
	at, _ := strconv.ParseInt(field("at"), 10, 64)
	l.At = time.Duration(at)
	a, err := booking.ParseAccepted(l.Raw)
	l.Accepted, l.Decoded = a, err == nil
	return l
}

// DeadCount is how many dead letters are open.
func (q *Queue) DeadCount(ctx context.Context) (int, error) {
	n, err := q.client.XLen(ctx, q.dead).Result()
	if err != nil {
		return 0, fmt.Errorf("queue: counting the dead letters: %w", err)
	}
	return int(n), nil
}

// List is at most n open dead letters, oldest first, after the one with the
// given id ("" = from the first).
func (q *Queue) List(ctx context.Context, after string, n int) ([]Letter, error) {
	if n < 1 {
		return nil, nil
	}
	start := "-"
	if after != "" {
		if !validID(after) {
			return nil, fmt.Errorf("queue: id %.40q: want 1234567890123-0", after)
		}
		start = "(" + after
	}
	ms, err := q.client.XRangeN(ctx, q.dead, start, "+", int64(n)).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: listing the dead letters: %w", err)
	}
	out := make([]Letter, len(ms))
	for i, m := range ms {
		out[i] = letter(m)
	}
	return out, nil
}

// Show is one open dead letter. It fails with ErrNoLetter when there is none.
func (q *Queue) Show(ctx context.Context, id string) (Letter, error) {
	if !validID(id) {
		return Letter{}, fmt.Errorf("queue: id %.40q: %w", id, ErrNoLetter)
	}
	ms, err := q.client.XRangeN(ctx, q.dead, id, id, 1).Result()
	if err != nil {
		return Letter{}, fmt.Errorf("queue: reading dead letter %s: %w", id, err)
	}
	if len(ms) == 0 {
		return Letter{}, fmt.Errorf("queue: id %s: %w", id, ErrNoLetter)
	}
	return letter(ms[0]), nil
}

// Replay puts a dead letter back into the queue, past its bound, with its
// attempts counted anew, and writes who did it. It fails with ErrNoLetter,
// ErrNobody, ErrUndecodable or ErrNotOpen.
func (q *Queue) Replay(ctx context.Context, id, who, why string) error {
	l, err := q.Show(ctx, id)
	if err != nil {
		return err
	}
	if !l.Decoded {
		return fmt.Errorf("queue: dead letter %s: %w", id, ErrUndecodable)
	}
	return q.act(ctx, l, "replay", who, why)
}

// Discard closes a dead letter for good and writes who did it. Its ticket is
// then resolved. Giving the stock back and noting "refused" in the result cache
// are the caller's part, after this call and with the letter it returns: both are
// idempotent, so that doing them again is safe. It fails with ErrNoLetter or
// ErrNobody.
func (q *Queue) Discard(ctx context.Context, id, who, why string) (Letter, error) {
	l, err := q.Show(ctx, id)
	if err != nil {
		return l, err
	}
	return l, q.act(ctx, l, "discard", who, why)
}

// Close takes away a letter whose ticket was settled after all, and writes who did
// it. It fails as Discard does.
func (q *Queue) Close(ctx context.Context, id, who, why string) error {
	l, err := q.Show(ctx, id)
	if err != nil {
		return err
	}
	return q.act(ctx, l, "close", who, why)
}

func (q *Queue) act(ctx context.Context, l Letter, what, who, why string) error {
	if who == "" {
		return fmt.Errorf("queue: %s of dead letter %s: %w", what, l.ID, ErrNobody)
	}
	ticket := ""
	if !l.Accepted.Ticket.IsZero() {
		ticket = l.Accepted.Ticket.String()
	}
	n, err := actScript.Run(ctx, q.client, []string{q.dead, q.acts, q.stream},
		l.ID, l.Raw, what, who, why, int64(q.opts.Clock.Now()), ticket).Int()
	switch {
	case err != nil:
		return fmt.Errorf("queue: %s of dead letter %s: %w", what, l.ID, err)
	case n == 0: // somebody else was faster
		return fmt.Errorf("queue: id %s: %w", l.ID, ErrNoLetter)
	case n < 0:
		return fmt.Errorf("queue: %s of dead letter %s: %w", what, l.ID, ErrNotOpen)
	}
	return nil
}

// Note writes a line into the audit trail for what was done outside this package.
func (q *Queue) Note(ctx context.Context, what, who, why string, t booking.Ticket) error {
	if who == "" {
		return fmt.Errorf("queue: %s: %w", what, ErrNobody)
	}
	ticket := ""
	if !t.IsZero() {
		ticket = t.String()
	}
	err := q.client.XAdd(ctx, &redis.XAddArgs{Stream: q.acts, Values: []any{"letter", "", "what", what, "who", who, "why", why,
		"at", int64(q.opts.Clock.Now()), "ticket", ticket, "e", ""}}).Err()
	if err != nil {
		return fmt.Errorf("queue: writing the audit trail: %w", err)
	}
	return nil
}

// Audit is the last n lines of the audit trail, oldest first.
func (q *Queue) Audit(ctx context.Context, n int) ([]Act, error) {
	if n < 1 {
		return nil, nil
	}
	ms, err := q.client.XRevRangeN(ctx, q.acts, "+", "-", int64(n)).Result()
	if err != nil {
		return nil, fmt.Errorf("queue: reading the audit trail: %w", err)
	}
	out := make([]Act, len(ms))
	for i, m := range ms {
		out[len(ms)-1-i] = act(m)
	}
	return out, nil
}

func act(m redis.XMessage) Act {
	field := func(k string) string { s, _ := m.Values[k].(string); return s }
	a := Act{ID: m.ID, Who: field("who"), What: field("what"), Why: field("why"), Letter: field("letter")}
	at, _ := strconv.ParseInt(field("at"), 10, 64) // our own script wrote it; 0 when damaged
	a.At = time.Duration(at)
	a.Ticket, _ = booking.ParseTicket(field("ticket")) // none: the zero ticket
	return a
}

// Dead calls f for every open dead letter; of one that could not be decoded only
// the ticket is set, if that. It stops at f's first error.
func (q *Queue) Dead(ctx context.Context, f func(booking.Accepted) error) error {
	return q.scan(ctx, q.dead, func(m redis.XMessage) error { return f(letter(m).Accepted) })
}

// Letters calls f for every open dead letter, oldest first. It stops at f's first
// error.
func (q *Queue) Letters(ctx context.Context, f func(Letter) error) error {
	return q.scan(ctx, q.dead, func(m redis.XMessage) error { return f(letter(m)) })
}

// errFound ends a scan.
var errFound = errors.New("found")

// Discarded is a dead letter that a person has discarded or closed, as the audit trail keeps
// it. It fails with ErrNoLetter when there is none.
func (q *Queue) Discarded(ctx context.Context, id string) (l Letter, err error) {
	err = q.scan(ctx, q.acts, func(m redis.XMessage) error {
		if a := act(m); a.Letter != id || a.What == "replay" {
			return nil
		}
		l = letter(m)
		l.ID = id
		return errFound
	})
	switch {
	case err == errFound:
		return l, nil
	case err == nil:
		err = fmt.Errorf("queue: id %.60s: %w", id, ErrNoLetter)
	}
	return Letter{}, err
}

// Resolved calls f for every entry that a person discarded, with what is known
// of it. It stops at f's first error.
func (q *Queue) Resolved(ctx context.Context, f func(booking.Accepted) error) error {
	return q.scan(ctx, q.acts, func(m redis.XMessage) error {
		if what, _ := m.Values["what"].(string); what != "discard" {
			return nil
		}
		raw, _ := m.Values["e"].(string)
		a, _ := booking.ParseAccepted(raw) // undecodable: the ticket alone
		return f(a)
	})
}

// validID reports whether an id looks like a stream's: digits, a dash, digits.
func validID(id string) bool {
	dash := -1
	for i := range len(id) {
		switch c := id[i]; {
		case '0' <= c && c <= '9':
		case c == '-' && dash < 0 && i > 0:
			dash = i
		default:
			return false
		}
	}
	return dash > 0 && dash < len(id)-1 && len(id) <= 41 && len(id[:dash]) <= 20
}
