package stock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
)

// offer is an acceptance with what it takes to accept it again.
type offer struct {
	booking.Accepted
	key string // idempotency key
}

// outbox is what a Store has told its clients to be accepted and does not yet
// know to be settled: the second copy of what Redis holds in memory. It has an
// entry for each acceptance in the queue or among the dead letters, plus those
// settled since the last Tend: with a queue of 20,000 about 4 MB over all gateways.
type outbox struct {
	on    bool // there is a queue to lose something from
	mu    sync.Mutex
	held  map[booking.Ticket]offer
	order []booking.Ticket // as accepted
}

func (o *outbox) add(x offer) {
	if !o.on {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, has := o.held[x.Ticket]; !has {
		o.held[x.Ticket] = x
		o.order = append(o.order, x.Ticket)
	}
}

// all is what is held, in the order of acceptance.
func (o *outbox) all() []offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]offer, len(o.order))
	for i, t := range o.order {
		out[i] = o.held[t]
	}
	return out
}

func (o *outbox) drop(settled map[booking.Ticket]bool) {
	if len(settled) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.order[:0]
	for _, t := range o.order {
		if settled[t] {
			delete(o.held, t)
		} else {
			kept = append(kept, t)
		}
	}
	o.order = kept
}

// Unsettled is how many acceptances of this Store are not known to be settled.
func (s *Store) Unsettled() int {
	s.outbox.mu.Lock()
	defer s.outbox.mu.Unlock()
	return len(s.outbox.order)
}

// tendPage is how many acceptances one call of Tend's asks about.
const tendPage = 500

// Tend looks after what this Store has accepted: what the result cache calls
// settled is forgotten, and what the cache no longer knows was lost with Redis's
// memory and is offered again, for Admit. A gateway calls it every tenth of a
// second or so. An offer that was made before is made again and does no harm.
func (s *Store) Tend(ctx context.Context) error {
	all := s.outbox.all()
	settled := map[booking.Ticket]bool{}
	for len(all) > 0 {
		page := all[:min(tendPage, len(all))]
		all = all[len(page):]
		fields := make([]string, len(page))
		for i, x := range page {
			fields[i] = x.Ticket.String()
		}
		known, err := s.client.HMGet(ctx, s.keys[4], fields...).Result()
		if err != nil {
			return fmt.Errorf("stock: looking after what was accepted: %w", err)
		}
		var lost []any
		for i, x := range page {
			switch said, _ := known[i].(string); said {
			case "":
				lost = append(lost, fields[i], x.encode())
			case "pending":
			default:
				settled[x.Ticket] = true
			}
		}
		if len(lost) == 0 {
			continue
		}
		if err := s.client.HSet(ctx, s.offers, lost...).Err(); err != nil {
			return fmt.Errorf("stock: offering %d acceptances again: %w", len(lost)/2, err)
		}
	}
	s.outbox.drop(settled)
	return nil
}

// encode is the text form of an offer: the key, a space, and the acceptance.
func (x offer) encode() string { return x.key + " " + x.Accepted.Encode() }

func parseOffer(s string) (offer, error) {
	key, rest, _ := strings.Cut(s, " ")
	a, err := booking.ParseAccepted(rest)
	if err != nil {
		return offer{}, err
	}
	if !validKey(key) {
		return offer{}, fmt.Errorf("offer %.80q: bad key", s)
	}
	return offer{a, key}, nil
}

// readOffers are the offers that wait, oldest acceptance first. One that cannot be
// read is taken away: no gateway wrote it.
func (s *Store) readOffers(ctx context.Context) ([]offer, error) {
	all, err := s.client.HGetAll(ctx, s.offers).Result()
	if err != nil {
		return nil, fmt.Errorf("stock: reading the offers: %w", err)
	}
	var out []offer
	for field, text := range all { // sorted below
		x, err := parseOffer(text)
		if err == nil && x.Ticket.String() == field {
			out = append(out, x)
			continue
		}
		if err := s.client.HDel(ctx, s.offers, field).Err(); err != nil {
			return nil, fmt.Errorf("stock: dropping an offer that cannot be read: %w", err)
		}
	}
	sortOffers(out)
	return out, nil
}

// Judge is the ledger as Admit needs it.
type Judge interface {
	// Settled reports whether the ledger has judged a ticket, and then has told
	// the result cache.
	Settled(ctx context.Context, a booking.Accepted) (bool, error)
	// Refuse makes the ledger refuse a ticket that it has not judged, for good,
	// and tells the result cache what the ledger then holds.
	Refuse(ctx context.Context, a booking.Accepted, reason string) error
}

// Admit takes in what gateways have offered since the sale was opened: each is
// accepted again with its own ticket when its reservation and its user are still
// free, and refused by the ledger when they are not. It returns how many were
// accepted and refused, and fails with ErrNotOpen while no sale is open.
func (s *Store) Admit(ctx context.Context, judge Judge) (accepted, refused int, err error) {
	n, err := s.client.HLen(ctx, s.offers).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("stock: counting the offers: %w", err)
	}
	if n == 0 {
		return 0, 0, nil
	}
	offers, err := s.readOffers(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, x := range offers {
		done, err := judge.Settled(ctx, x.Accepted)
		if err != nil {
			return accepted, refused, err
		}
		code := "k"
		if !done {
			if code, err = s.readmit(ctx, x); err != nil {
				return accepted, refused, err
			}
		}
		switch code {
		case "k":
			// It may have been settled since it was judged above, and the cache have
			// lost that: what was noted as pending just now would stay so.
			if !done {
				_, err = judge.Settled(ctx, x.Accepted)
			}
		case "q":
			accepted++
		case "w":
			err = judge.Refuse(ctx, x.Accepted, "another change of its entry was accepted after the store had lost its memory")
		case "d":
			err = judge.Refuse(ctx, x.Accepted, "its user booked again after the store had lost its memory")
		case "s":
			err = judge.Refuse(ctx, x.Accepted, "its reservation was given away after the store had lost its memory")
		}
		if err != nil {
			return accepted, refused, err
		}
		if code == "d" || code == "s" || code == "w" {
			refused++
		}
		if err := s.client.HDel(ctx, s.offers, x.Ticket.String()).Err(); err != nil {
			return accepted, refused, fmt.Errorf("stock: taking an offer off the list: %w", err)
		}
	}
	return accepted, refused, nil
}

// readmitScript accepts one offer again. Keys: state, users, keys, stream,
// results. Arguments: user, ticket, item, key, payload, entries?, now, hold. It answers
// q (accepted), k (still known), d (its user holds another ticket), s (nothing
// left of the item) or u (no sale is open).
var readmitScript = redis.NewScript(`
local state, users, keys, stream, results = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local user, ticket, item, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HEXISTS', state, 'open') == 0 or redis.call('EXISTS', stream) == 0 then return 'u' end
local has = redis.call('HGET', users, user)
if has and string.sub(has, 1, 32) ~= ticket then return 'd' end
if has then
  redis.call('HSETNX', results, ticket, 'pending')
  return 'k'
end
if ARGV[6] ~= '1' then
  local free = tonumber(redis.call('HGET', state, item))
  if not free or free <= 0 then return 's' end
  redis.call('HINCRBY', state, item, -1)
  if redis.call('HINCRBY', state, 'total', -1) <= 0 then redis.call('HSET', state, 'closed', ARGV[7]) end
end
redis.call('HSET', users, user, ARGV[8])
redis.call('HSETNX', keys, key, user .. ':' .. ticket)
redis.call('HSETNX', results, ticket, 'pending')
redis.call('XADD', stream, 'NOMKSTREAM', '*', 'e', ARGV[5])
return 'q'
`)

func (s *Store) readmit(ctx context.Context, x offer) (string, error) {
	var code string
	var err error
	if x.Change != 0 {
		code, err = s.readmitChange(ctx, x.Accepted)
	} else {
		code, err = readmitScript.Run(ctx, s.client, s.keys, uint64(x.User), x.Ticket.String(), x.Item, x.key,
			x.Encode(), s.lots(), int64(s.opts.Clock.Now()), s.hold(x.Accepted)).Text()
	}
	if err != nil {
		return "", fmt.Errorf("stock: accepting ticket %s again: %w", x.Ticket, err)
	}
	if code == "u" {
		return "", fmt.Errorf("stock: %w", ErrNotOpen)
	}
	return code, nil
}

// lots is the script's word for Entries mode.
func (s *Store) lots() string {
	if s.opts.Entries {
		return "1"
	}
	return "0"
}

var errStream = errors.New("stock: a rebuild needs the queue's stream and the result cache: name both in the options")
