package reference

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/clock"
)

// The lease of the writers. A dead writer's turn is over after leaseFor, and the
// other one sees it within leaseEvery: a take-over takes at most their sum, and
// what the dead one had in hand is claimed after the queue's idle time.
const (
	leaseFor   = time.Second
	leaseEvery = 250 * time.Millisecond
)

// lease lets one writer of an event write at a time, so that the modelled rate
// stays what it is. Nothing is lost or doubled without it: every step of a writer
// may be repeated.
type lease struct {
	client  redis.UniversalClient
	key     string
	name    string
	clock   clock.Clock
	standby func(bool)
	mine    atomic.Bool
	until   time.Duration // while it is ours: when it ends without being renewed

	quit    context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// newLease makes the lease of a writer that stands by until it has it. standby is
// told of each change.
func newLease(client redis.UniversalClient, event, name string, clk clock.Clock, standby func(bool)) *lease {
	l := &lease{client: client, key: "{" + event + "}:writer", name: name, clock: clk, standby: standby}
	l.quit, l.cancel = context.WithCancel(context.Background())
	standby(true)
	return l
}

// held reports whether this process has its turn.
func (l *lease) held() bool { return l.mine.Load() }

func (l *lease) start() { l.running.Go(l.run) }

// stop ends the turn, so that the other writer need not wait for its end.
func (l *lease) stop() {
	l.cancel()
	l.running.Wait()
	if l.held() {
		ctx, cancel := context.WithTimeout(context.Background(), leaseFor)
		defer cancel()
		_ = releaseScript.Run(ctx, l.client, []string{l.key}, l.name).Err() // else it ends by itself
	}
}

func (l *lease) run() {
	for {
		asked := l.clock.Now()
		ctx, cancel := context.WithTimeout(l.quit, leaseFor-leaseEvery)
		n, err := leaseScript.Run(ctx, l.client, []string{l.key}, l.name, leaseFor.Milliseconds()).Int()
		cancel()
		switch {
		case err == nil && n == 1:
			// Counted from before the call, so that it never ends later here than there.
			l.until = asked + leaseFor
			l.set(true)
		case err == nil, l.clock.Now() >= l.until:
			l.set(false)
		}
		if !pause(l.quit, l.clock, leaseEvery) {
			return
		}
	}
}

func (l *lease) set(mine bool) {
	if l.mine.Swap(mine) != mine {
		l.standby(!mine)
	}
}

// leaseScript takes the lease, or renews it. Keys: lease. Arguments: name, its
// length in milliseconds. It answers 1 when the name has it. The store's clock
// judges, and no time-to-live: the embedded store's never fall.
var leaseScript = redis.NewScript(`
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local has = redis.call('HMGET', KEYS[1], 'name', 'until')
if has[1] and has[1] ~= ARGV[1] and tonumber(has[2]) > now then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[1], 'until', string.format('%.0f', now + tonumber(ARGV[2])))
return 1
`)

// releaseScript gives the lease back if the name has it.
var releaseScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'name') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)
