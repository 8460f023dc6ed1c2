package stock

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
)

// Phase is how a sale stands in Redis.
type Phase uint8

// The phases.
const (
	// Running says that submits are judged.
	Running Phase = iota + 1
	// Missing says that nothing is set up, or that Redis has lost some of its
	// memory: the sale must be rebuilt before anything is sold.
	Missing
	// Rebuilding says that somebody is at it.
	Rebuilding
)

// LockLife is how long the lock of a rebuild holds without a sign of life. Every
// step of the rebuild is one.
const LockLife = 5 * time.Second

// beatScript looks at the sale and leaves a beat in it. The beats grow, so whoever
// finds one smaller than he saw before knows that Redis went back in time, as
// after a fail-over to a copy that lagged behind. Keys: state, stream, rebuild.
// Argument: the last beat seen. It answers the phase's letter, and the new beat.
var beatScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lock = tonumber(redis.call('HGET', KEYS[3], 'until') or '0')
if lock > now then return {'b', '0'} end
local open, was = redis.call('HEXISTS', KEYS[1], 'open'), tonumber(redis.call('HGET', KEYS[1], 'beat') or '0')
if open == 0 or redis.call('EXISTS', KEYS[2]) == 0 or was < tonumber(ARGV[1]) then return {'m', '0'} end
local beat = string.format('%.0f', math.max(was + 1, now))
redis.call('HSET', KEYS[1], 'beat', beat)
return {'r', beat}
`)

// beginScript takes the lock of a rebuild and closes what was open. Keys: state,
// users, keys, stream, results, rebuild, changes. Arguments: token, life in ms, the last
// beat seen. It answers 1, or 0 when somebody else is at it or has done it.
var beginScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(redis.call('HGET', KEYS[6], 'until') or '0') > now then return 0 end
local was = tonumber(redis.call('HGET', KEYS[1], 'beat') or '0')
if redis.call('HEXISTS', KEYS[1], 'open') == 1 and redis.call('EXISTS', KEYS[4]) == 1 and was >= tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[5], KEYS[7])
redis.call('HSET', KEYS[6], 'token', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
return 1
`)

// restoreScript puts holders back. Keys: users, keys, stream, results, rebuild.
// Arguments: token, life in ms, then of each: user, ticket, hold, key, payload to
// enqueue. A user (of a change, which holds nothing), key or payload may be empty,
// and a ticket is noted as pending only when the sixth word of it is 1.
var restoreScript = redis.NewScript(`
if redis.call('HGET', KEYS[5], 'token') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[5], 'until', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]))
for a = 3, #ARGV, 6 do
  local user, ticket, hold, key, payload = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  if user ~= '' then redis.call('HSET', KEYS[1], user, hold) end
  if key ~= '' then redis.call('HSET', KEYS[2], key, user .. ':' .. ticket) end
  if ARGV[a + 5] == '1' then redis.call('HSETNX', KEYS[4], ticket, 'pending') end
  if payload ~= '' then redis.call('XADD', KEYS[3], 'NOMKSTREAM', '*', 'e', payload) end
end
return 1
`)

// reopenScript ends a rebuild: from here on the sale runs. Keys: state, stream,
// rebuild. Arguments: token, items as one text, now, entries?, the last beat
// seen, the moment sealed until in ms, then what is free of each item.
var reopenScript = redis.NewScript(`
if redis.call('HGET', KEYS[3], 'token') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local total, set = 0, {}
for i = 7, #ARGV do
  set[#set + 1] = tostring(i - 7)
  set[#set + 1] = ARGV[i]
  total = total + tonumber(ARGV[i])
end
local t = redis.call('TIME')
local beat = string.format('%.0f', math.max(ARGV[5] + 1, t[1] * 1000 + math.floor(t[2] / 1000)))
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('HSET', KEYS[1], 'open', ARGV[2], 'total', total, 'beat', beat, unpack(set))
if total <= 0 and ARGV[4] ~= '1' then redis.call('HSET', KEYS[1], 'closed', ARGV[3]) end
if tonumber(ARGV[6]) > 0 then redis.call('HSET', KEYS[1], 'sealed', ARGV[6]) end
return 1
`)

// Look says how the sale stands. What it has once seen running it calls missing
// when Redis has gone back in time since.
func (s *Store) Look(ctx context.Context) (Phase, error) {
	out, err := beatScript.Run(ctx, s.client, []string{s.keys[0], s.keys[3], s.rebuild}, s.beat.Load()).StringSlice()
	if err != nil || len(out) != 2 {
		return 0, fmt.Errorf("stock: looking at the sale: %w", err)
	}
	switch out[0] {
	case "b":
		return Rebuilding, nil
	case "m":
		return Missing, nil
	}
	beat, err := strconv.ParseInt(out[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("stock: the sale's beat is %.40q, not a number", out[1])
	}
	s.beat.Store(beat)
	return Running, nil
}

// Filled reports whether the running sale was set up with these items. It fails
// with ErrNotOpen when none runs.
func (s *Store) Filled(ctx context.Context, items []int) (bool, error) {
	was, err := s.client.HGet(ctx, s.keys[0], "open").Result()
	if err == redis.Nil {
		return false, fmt.Errorf("stock: %w", ErrNotOpen)
	}
	if err != nil {
		return false, fmt.Errorf("stock: looking at the sale: %w", err)
	}
	return was == list(items), nil
}

// Begin begins a rebuild under a token that nobody else has, and that is greater
// than those before: it closes the sale, so that submits are answered unknown,
// and forgets who holds what, so that every gateway offers what it has accepted.
// The queue and the dead letters stay. It reports false when somebody else is at
// it or has done it meanwhile.
func (s *Store) Begin(ctx context.Context, token int64) (bool, error) {
	if !s.outbox.on {
		return false, errStream
	}
	n, err := beginScript.Run(ctx, s.client, append(slices.Clone(s.keys), s.rebuild, s.changes), token, LockLife.Milliseconds(), s.beat.Load()).Int()
	if err != nil {
		return false, fmt.Errorf("stock: beginning the rebuild: %w", err)
	}
	return n == 1, nil
}

// Holder is somebody who gets his ticket back.
type Holder struct {
	booking.Accepted
	Key     string // idempotency key; "" = not known, the ticket tells as well
	Pending bool   // not settled yet: the result cache says so
	Enqueue bool   // not in the queue any more: it is put there
}

// Offers are what gateways have offered, oldest acceptance first, each to be
// enqueued and pending.
func (s *Store) Offers(ctx context.Context) ([]Holder, error) {
	offers, err := s.readOffers(ctx)
	out := make([]Holder, len(offers))
	for i, x := range offers {
		out[i] = Holder{Accepted: x.Accepted, Key: x.key, Pending: true, Enqueue: true}
	}
	return out, err
}

// restorePage is how many holders one call restores; six words each, of the about
// 8,000 that Lua can take.
const restorePage = 500

// Restore puts holders back, a page a call, and lengthens the lock; with none it
// is a sign of life alone. It fails with ErrOvertaken.
func (s *Store) Restore(ctx context.Context, token int64, hs []Holder) error {
	for first := true; first || len(hs) > 0; first = false {
		page := hs[:min(restorePage, len(hs))]
		hs = hs[len(page):]
		args := make([]any, 0, 2+6*len(page))
		args = append(args, token, LockLife.Milliseconds())
		for _, h := range page {
			payload, pending := "", "0"
			if h.Enqueue {
				payload = h.Encode()
			}
			if h.Pending {
				pending = "1"
			}
			user, hold, key := strconv.FormatUint(uint64(h.User), 10), s.hold(h.Accepted), h.Key
			if h.Change != 0 {
				user, hold, key = "", "", ""
			}
			args = append(args, user, h.Ticket.String(), hold, key, payload, pending)
		}
		keys := []string{s.keys[1], s.keys[2], s.keys[3], s.keys[4], s.rebuild}
		n, err := restoreScript.Run(ctx, s.client, keys, args...).Int()
		if err != nil {
			return fmt.Errorf("stock: restoring %d holders: %w", len(page), err)
		}
		if n == 0 {
			return fmt.Errorf("stock: %w", ErrOvertaken)
		}
		if err := s.restoreEdits(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// Reopen ends a rebuild and opens the sale of the items with what is free of each,
// a lottery sealed until a moment (0 = never was). It fails with ErrOvertaken.
func (s *Store) Reopen(ctx context.Context, token int64, items, free []int, sealed time.Duration) error {
	if len(items) != s.opts.Items || len(free) != len(items) {
		return fmt.Errorf("stock: opening %d items with %d figures, the store was made for %d", len(items), len(free), s.opts.Items)
	}
	args := []any{token, list(items), int64(s.opts.Clock.Now()), s.lots(), s.beat.Load(), sealed.Milliseconds()}
	for i, n := range free {
		if n < 0 {
			return fmt.Errorf("stock: item %d has %d free: want 0 or more", i, n)
		}
		args = append(args, n)
	}
	n, err := reopenScript.Run(ctx, s.client, []string{s.keys[0], s.keys[3], s.rebuild}, args...).Int()
	if err != nil {
		return fmt.Errorf("stock: opening the rebuilt sale: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("stock: %w", ErrOvertaken)
	}
	return nil
}

// Hold notes a user as the holder of a ticket that the ledger has confirmed. It
// reports false, and does nothing, when he holds one already.
func (s *Store) Hold(ctx context.Context, a booking.Accepted) (bool, error) {
	ok, err := s.client.HSetNX(ctx, s.keys[1], strconv.FormatUint(uint64(a.User), 10), s.hold(a)).Result()
	if err != nil {
		return false, fmt.Errorf("stock: noting the holder of ticket %s: %w", a.Ticket, err)
	}
	return ok, nil
}

// setFreeScript corrects what is free of an item, if it is still what it was and
// nothing is on its way, and with it the total. Keys: state, stream. Arguments:
// item, was, want, now, number of items.
var setFreeScript = redis.NewScript(`
local free = redis.call('HGET', KEYS[1], ARGV[1])
if free ~= ARGV[2] or redis.call('HEXISTS', KEYS[1], 'open') == 0 or redis.call('XLEN', KEYS[2]) > 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
local total = 0
for i = 0, ARGV[5] - 1 do total = total + tonumber(redis.call('HGET', KEYS[1], tostring(i)) or '0') end
redis.call('HSET', KEYS[1], 'total', total)
if total > 0 then
  redis.call('HDEL', KEYS[1], 'closed')
else
  redis.call('HSETNX', KEYS[1], 'closed', ARGV[4])
end
return 1
`)

// SetFree corrects what is free of an item. It reports false, and does nothing,
// when the figure has changed since it was read, or the queue is not empty.
func (s *Store) SetFree(ctx context.Context, item, was, want int) (bool, error) {
	n, err := setFreeScript.Run(ctx, s.client, []string{s.keys[0], s.keys[3]}, item, was, want, int64(s.opts.Clock.Now()), s.opts.Items).Int()
	if err != nil {
		return false, fmt.Errorf("stock: correcting what is free of item %d: %w", item, err)
	}
	return n == 1, nil
}

// list is the items as one text.
func list(items []int) string {
	words := make([]string, len(items))
	for i, n := range items {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// sortOffers puts the oldest acceptance first; the ticket breaks ties.
func sortOffers(xs []offer) {
	slices.SortFunc(xs, func(a, b offer) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Ticket[:], b.Ticket[:]))
	})
}

// ScriptNames names the scripts of this package by their SHA-1, for whoever
// watches the calls of a client.
func ScriptNames() map[string]string {
	return map[string]string{takeScript.Hash(): "stock.take", refundScript.Hash(): "stock.refund", fillScript.Hash(): "stock.fill",
		beatScript.Hash(): "stock.look", beginScript.Hash(): "stock.begin", restoreScript.Hash(): "stock.restore",
		reopenScript.Hash(): "stock.open", readmitScript.Hash(): "stock.readmit",
		changeScript.Hash(): "stock.change", releaseScript.Hash(): "stock.refund", readmitChangeScript.Hash(): "stock.readmit", sealScript.Hash(): "stock.seal"}
}
