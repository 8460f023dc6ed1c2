package stock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
)

// changeScript judges a change of a lottery entry and enqueues it. It knows the day's
// edits alone, and withdrawals; whether there is such an entry the ledger knows.
// Keys: state, results, stream, changes. Arguments: depth (0 = no bound), user,
// ticket, now in ms, the day of an edit (else empty), the ticket that the entry's
// withdrawal has, payload.
var changeScript = redis.NewScript(`
local state, results, stream, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, ticket, day = ARGV[2], ARGV[3], ARGV[5]
local st = redis.call('HMGET', state, 'open', 'sealed')
if not st[1] or redis.call('EXISTS', stream) == 0 then return 'u' end
local said = redis.call('HGET', results, ticket)
if said then
  if said == 'refused' then return 'd' end
  return 'r'
end
if redis.call('HEXISTS', results, ARGV[6]) == 1 then return 'w' end
if day ~= '' then
  local was = redis.call('HGET', changes, user)
  if was and string.sub(was, -32) == ticket then return 'r' end
  if was and tonumber(string.sub(was, 1, -34)) >= tonumber(day) then return 'd' end
end
if tonumber(ARGV[4]) < tonumber(st[2] or '0') then return 'l' end
if tonumber(ARGV[1]) > 0 and redis.call('XLEN', stream) >= tonumber(ARGV[1]) then return 'b' end
if day ~= '' then redis.call('HSET', changes, user, day .. ':' .. ticket) end
redis.call('HSET', results, ticket, 'pending')
redis.call('XADD', stream, 'NOMKSTREAM', '*', 'e', ARGV[7])
return 'q'
`)

// Change accepts a change of a lottery entry: queued (Replay when it was before),
// duplicate (its person has made another edit this day), refused (the entry is
// withdrawn), busy or unknown. a is the change under its own ticket, withdrawal
// the ticket that a withdrawal of the same entry has. The error is non-nil only with
// unknown, as Take's.
func (s *Store) Change(ctx context.Context, a booking.Accepted, withdrawal booking.Ticket) (Result, error) {
	unknown := Result{Outcome: booking.Unknown}
	if !s.opts.Entries || !s.outbox.on || a.Change == 0 {
		return unknown, errors.New("stock: a change wants a lottery with a queue and a result cache")
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return unknown, fmt.Errorf("stock: %w", ErrClosed)
	}
	s.calls.Add(1)
	s.mu.Unlock()
	defer s.calls.Done()
	// As with a submit, whoever leaves does not end the call.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	defer cancel()
	s.nCalls.Add(1)
	s.nSubmits.Add(1)
	code, err := changeScript.Run(ctx, s.client, s.changeKeys(), s.opts.Depth, uint64(a.User), a.Ticket.String(),
		a.At.Milliseconds(), s.editDay(a), withdrawal.String(), a.Encode()).Text()
	if err != nil {
		s.nFailed.Add(1)
		return unknown, fmt.Errorf("stock: the change's state is unknown: %w", err)
	}
	r, err := changed(code, a.Ticket)
	if r.Outcome == booking.Queued {
		s.outbox.add(offer{a, changeKey})
	}
	return r, err
}

// changeKey stands for the idempotency key that a change does not have, in an offer.
const changeKey = "change"

func (s *Store) changeKeys() []string { return []string{s.keys[0], s.keys[4], s.keys[3], s.changes} }

// editDay is the day of an edit as the script wants it.
func (s *Store) editDay(a booking.Accepted) string {
	if a.Change != booking.ChangeEdit {
		return ""
	}
	return strconv.FormatInt(int64(s.opts.Rules.Day(a.At)), 10)
}

// changed reads the script's answer to a change.
func changed(code string, t booking.Ticket) (Result, error) {
	if len(code) != 1 {
		return Result{Outcome: booking.Unknown}, fmt.Errorf("stock: the script answers %.40q to a change", code)
	}
	switch code[0] {
	case codeQueued:
		return Result{Outcome: booking.Queued, Ticket: t}, nil
	case codeReplay:
		return Result{Outcome: booking.Queued, Ticket: t, Replay: true}, nil
	case codeDuplicate:
		return Result{Outcome: booking.Duplicate}, nil
	case codeOver:
		return Result{Outcome: booking.Refused}, nil
	case codeBusy:
		return Result{Outcome: booking.Busy}, nil
	case codeSealed:
		return Result{Outcome: booking.Unknown}, fmt.Errorf("stock: %w", ErrSealed)
	}
	return Result{Outcome: booking.Unknown}, fmt.Errorf("stock: %w", ErrNotOpen)
}

// readmitChangeScript accepts an offered change again. Keys as changeScript's.
// Arguments: user, ticket, the day of an edit, payload. It answers q (accepted), k
// (still known), w (its person has made another edit of that day since) or u (no
// sale is open).
var readmitChangeScript = redis.NewScript(`
local state, results, stream, changes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local user, ticket, day = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HEXISTS', state, 'open') == 0 or redis.call('EXISTS', stream) == 0 then return 'u' end
if redis.call('HEXISTS', results, ticket) == 1 then return 'k' end
if day ~= '' then
  local was = redis.call('HGET', changes, user)
  if was and string.sub(was, 1, -34) == day and string.sub(was, -32) ~= ticket then return 'w' end
  if not was or tonumber(string.sub(was, 1, -34)) < tonumber(day) then redis.call('HSET', changes, user, day .. ':' .. ticket) end
end
redis.call('HSET', results, ticket, 'pending')
redis.call('XADD', stream, 'NOMKSTREAM', '*', 'e', ARGV[4])
return 'q'
`)

func (s *Store) readmitChange(ctx context.Context, a booking.Accepted) (string, error) {
	return readmitChangeScript.Run(ctx, s.client, s.changeKeys(), uint64(a.User), a.Ticket.String(), s.editDay(a), a.Encode()).Text()
}

// restoreEdits notes the edits among what a rebuild restores, the oldest first.
func (s *Store) restoreEdits(ctx context.Context, hs []Holder) error {
	var values []any
	for _, h := range hs {
		if day := s.editDay(h.Accepted); day != "" {
			values = append(values, uint64(h.User), day+":"+h.Ticket.String())
		}
	}
	if len(values) == 0 {
		return nil
	}
	if err := s.client.HSet(ctx, s.changes, values...).Err(); err != nil {
		return fmt.Errorf("stock: restoring %d edits: %w", len(values)/2, err)
	}
	return nil
}

// releaseScript lets a user go whose entry is over, and -1 when no sale is open.
// Keys: state, users. Arguments: user, ticket.
var releaseScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return -1 end
local has = redis.call('HGET', KEYS[2], ARGV[1])
if not has or string.sub(has, 1, 32) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[2], ARGV[1])
`)

// Release lets a user enter again whose entry the ledger says is over. It reports
// false, and does nothing, when the user holds another ticket or none. It fails
// with ErrNotOpen while no sale is open.
func (s *Store) Release(ctx context.Context, user booking.UserID, t booking.Ticket) (bool, error) {
	n, err := releaseScript.Run(ctx, s.client, s.keys[:2], uint64(user), t.String()).Int()
	if err != nil {
		return false, fmt.Errorf("stock: releasing the holder of ticket %s: %w", t, err)
	}
	if n < 0 {
		return false, fmt.Errorf("stock: releasing the holder of ticket %s: %w", t, ErrNotOpen)
	}
	return n == 1, nil
}

// Known is what the store says of a ticket: pending, confirmed, refused, or unknown
// when it has not heard of it.
func (s *Store) Known(ctx context.Context, t booking.Ticket) (booking.Outcome, error) {
	said, err := s.client.HGet(ctx, s.keys[4], t.String()).Result()
	if errors.Is(err, redis.Nil) {
		return booking.Unknown, nil
	}
	if err != nil {
		return booking.Unknown, fmt.Errorf("stock: reading what is known of ticket %s: %w", t, err)
	}
	word, _, _ := strings.Cut(said, " ")
	o, err := booking.ParseOutcome(word)
	if err != nil {
		return booking.Unknown, fmt.Errorf("stock: ticket %s: %w", t, err)
	}
	return o, nil
}

// sealScript notes the moment until which the lottery is sealed; it never goes
// back. Keys: state. Argument: the moment in ms. It answers 0 when no sale is open.
var sealScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], 'open') == 0 then return 0 end
if tonumber(redis.call('HGET', KEYS[1], 'sealed') or '0') < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'sealed', ARGV[1]) end
return 1
`)

// Seal lets nothing of an earlier moment in any more: entries and changes that were
// stamped before it, by whatever clock, and come later get ErrSealed. A moment in
// whole milliseconds. It fails with ErrNotOpen.
func (s *Store) Seal(ctx context.Context, at time.Duration) error {
	n, err := sealScript.Run(ctx, s.client, s.keys[:1], at.Milliseconds()).Int()
	if err != nil {
		return fmt.Errorf("stock: sealing: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("stock: sealing: %w", ErrNotOpen)
	}
	return nil
}

// Offered calls f for every acceptance that a gateway offers again, oldest first. It
// stops at f's first error.
func (s *Store) Offered(ctx context.Context, f func(booking.Accepted) error) error {
	offers, err := s.readOffers(ctx)
	if err != nil {
		return err
	}
	for _, x := range offers {
		if err := f(x.Accepted); err != nil {
			return err
		}
	}
	return nil
}
