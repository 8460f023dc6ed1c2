package reference

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/netfault"
)

// links are the networks between the parts of a backend, by the words of their
// faults. While there is no fault they add nothing.
type links struct {
	to           map[string]*netfault.Link
	full         *memory
	lostRedis    *loss
	lostDatabase *loss
}

func newLinks(clk clock.Clock, seed draw.Seed) *links {
	n := uint64(0)
	next := func() draw.Seed { // each has luck of its own
		n++
		return draw.Seed(seed.U64(booking.DrawFault, math.MaxUint64, uint32(n)))
	}
	l := &links{to: map[string]*netfault.Link{}, full: &memory{}, lostRedis: &loss{seed: next()}, lostDatabase: &loss{seed: next()}}
	for _, pair := range fault.Targets(fault.Slow) {
		l.to[pair] = netfault.New(clk, next())
	}
	return l
}

// around is what goes around the calls of a database over a link.
func (l *links) around(pair string) func(context.Context, func(context.Context) error) error {
	link := l.to[pair]
	return func(ctx context.Context, call func(context.Context) error) error {
		return link.Call(ctx, func(ctx context.Context) error {
			err := call(ctx)
			if err == nil && l.lostDatabase.next() {
				err = errAnswerLost
			}
			return err
		})
	}
}

var (
	errAnswerLost = errors.New("the answer was lost; the work may be done")
	errFull       = redisError("OOM command not allowed when used memory > 'maxmemory'.")
)

// redisError is an answer of Redis that is an error.
type redisError string

func (e redisError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (redisError) RedisError() {}

var _ redis.Error = redisError("")

// loss loses a share of the answers.
type loss struct {
	seed  draw.Seed
	share atomic.Uint64 // bits of a float64, 0..1
	calls atomic.Uint64
}

func (l *loss) set(share float64) { l.share.Store(math.Float64bits(share)) }

// next reports whether the next answer is lost.
func (l *loss) next() bool {
	share := math.Float64frombits(l.share.Load())
	return share > 0 && l.seed.Uniform(booking.DrawFault, l.calls.Add(1), 0) < share
}

var _ redis.Hook = (*loss)(nil)

// DialHook implements redis.Hook.
func (l *loss) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (l *loss) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && l.next() {
			err = errAnswerLost
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (l *loss) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil && l.next() {
			err = errAnswerLost
			for _, c := range cmds {
				c.SetErr(err)
			}
		}
		return err
	}
}

// memory is Redis at its limit: commands that need more are refused before they do
// anything, those that give some back are not.
type memory struct{ full atomic.Bool }

var _ redis.Hook = (*memory)(nil)

// grows are the commands in use that Redis refuses for want of memory. A script is
// refused when it comes to such a command, with nothing written; ours all do but when
// they refuse.
var grows = map[string]bool{"hset": true, "hincrby": true, "xadd": true, "set": true, "eval": true, "evalsha": true,
	"sadd": true, "zadd": true, "rpush": true, "lpush": true, "incr": true}

// DialHook implements redis.Hook.
func (m *memory) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (m *memory) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if m.full.Load() && grows[strings.ToLower(cmd.Name())] {
			cmd.SetErr(errFull)
			return errFull
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (m *memory) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if m.full.Load() {
			for _, c := range cmds {
				if grows[strings.ToLower(c.Name())] { // a transaction is refused whole
					for _, c := range cmds {
						c.SetErr(errFull)
					}
					return errFull
				}
			}
		}
		return next(ctx, cmds)
	}
}

// visitors puts the visitors' connections on their link.
func (l *links) visitors(next net.Listener) net.Listener {
	return l.to[fault.VisitorGateway].Listener(next)
}
