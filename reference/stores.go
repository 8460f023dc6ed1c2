package reference

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/clock"
	"spillway/reference/ledger"
)

// ErrEnvironment is in the chain of every error whose cause is the machine: a
// port in use, a folder that cannot be written, a store out of reach. The command
// line answers it with an exit code of its own.
var ErrEnvironment = errors.New("environment")

// environment is an error that has ErrEnvironment in its chain, without its word
// in the text.
type environment struct{ err error }

func (e environment) Error() string   { return e.err.Error() }
func (e environment) Unwrap() []error { return []error{e.err, ErrEnvironment} }

// storePatience bounds the first contact with a store.
const storePatience = 5 * time.Second

// A gateway looks again and again for the tables that a writer makes.
const (
	writerPatience = 30 * time.Second
	lookAgain      = 100 * time.Millisecond
)

// pause waits on the clock; false when ctx ended first.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) bool {
	done := make(chan struct{})
	stop := clk.AfterFunc(d, func() { close(done) })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

// stores are what a Stack opens and closes: Redis and the database, embedded or
// by URL.
type stores struct {
	redisURL, databaseURL string
	embedded              *miniredis.Miniredis // nil = Redis by URL
	client                *redis.Client
	slow                  *slowness
	db                    *ledger.DB
	temporary             string // folder to remove; "" = none
}

// openStores opens both. What it has opened is closed again when it fails.
func openStores(ctx context.Context, c Config, clk clock.Clock) (st *stores, err error) {
	st = &stores{slow: &slowness{clock: clk}}
	defer func() {
		if err != nil {
			st.close()
			st = nil
		}
	}()
	if err = st.openDatabase(ctx, c); err != nil {
		return st, err
	}
	if c.direct() {
		return st, nil // every submit goes straight to the database
	}
	return st, st.openRedis(ctx, c)
}

func (st *stores) openDatabase(ctx context.Context, c Config) error {
	switch {
	case strings.HasPrefix(c.Database, "postgres://"), strings.HasPrefix(c.Database, "postgresql://"):
		return errors.New("database: PostgreSQL is not supported yet; leave it out or give sqlite:PATH")
	case c.Database != "":
		st.databaseURL = c.Database
	default:
		dir := c.Dir
		var err error
		if dir == "" {
			if dir, err = os.MkdirTemp("", "spillway-"); err != nil {
				return environment{fmt.Errorf("database: no temporary folder: %w; give a folder that can be written", err)}
			}
			st.temporary = dir
		} else if err = os.MkdirAll(dir, 0o755); err != nil {
			return environment{fmt.Errorf("database: folder cannot be made: %w; give one that can be written", err)}
		}
		st.databaseURL = "sqlite:" + filepath.Join(dir, "ledger.db")
	}
	var err error
	if c.Role == RoleGateway {
		return st.awaitDatabase(ctx)
	}
	if st.db, err = ledger.Open(ctx, st.databaseURL, ledger.DBOptions{}); err != nil {
		if errors.Is(err, ledger.ErrDatabase) {
			return fmt.Errorf("database: %w", err)
		}
		return environment{fmt.Errorf("database: %w; check that the folder exists, can be written and has room", err)}
	}
	return nil
}

// awaitDatabase opens the database for reading, once a writer has made its tables.
func (st *stores) awaitDatabase(ctx context.Context) error {
	for began := st.slow.clock.Now(); ; {
		var err error
		if st.db, err = ledger.OpenReadOnly(ctx, st.databaseURL, ledger.DBOptions{}); err == nil {
			return nil
		}
		st.db = nil
		if errors.Is(err, ledger.ErrDatabase) {
			return fmt.Errorf("database: %w", err)
		}
		if st.slow.clock.Now()-began > writerPatience || ctx.Err() != nil {
			return environment{fmt.Errorf("database: %w; start the writer first, it makes the tables", err)}
		}
		if !pause(ctx, st.slow.clock, lookAgain) {
			return environment{fmt.Errorf("database: %w", ctx.Err())}
		}
	}
}

func (st *stores) openRedis(ctx context.Context, c Config) error {
	st.redisURL = c.Redis
	if c.Redis == "" {
		st.embedded = miniredis.NewMiniRedis()
		if err := st.embedded.StartAddr("127.0.0.1:0"); err != nil {
			st.embedded = nil
			return environment{fmt.Errorf("store: the embedded Redis has no port on loopback: %w", err)}
		}
		st.redisURL = "redis://" + st.embedded.Addr() + "/0"
	}
	var err error
	if st.client, err = dialRedis(ctx, st.redisURL, st.slow); err != nil {
		return err
	}
	return nil
}

// noLog keeps go-redis from writing to standard error: what goes wrong comes back
// as an error and is counted.
type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

var quiet sync.Once

// dialRedis connects to a Redis by URL. A repeated submit is for the visitor to
// decide, so nothing is retried.
func dialRedis(ctx context.Context, url string, hook redis.Hook) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("store: the Redis URL cannot be read: want redis://host:port/db")
	}
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.DialerRetries = 1
	quiet.Do(func() { redis.SetLogger(noLog{}) })
	c := redis.NewClient(o)
	if hook != nil {
		c.AddHook(hook)
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := c.Ping(ctx).Err(); err != nil {
		_ = c.Close() // the first error is the one that tells
		return nil, environment{fmt.Errorf("store: no answer from Redis at %s: %w; start it, or leave the URL out for the embedded one", o.Addr, err)}
	}
	return c, nil
}

// close closes what is open, in the reverse order. Errors here change nothing:
// what had to be durable has been committed.
func (st *stores) close() {
	if st.client != nil {
		_ = st.client.Close()
	}
	if st.embedded != nil {
		st.embedded.Close()
	}
	if st.db != nil {
		_ = st.db.Close()
	}
	if st.temporary != "" {
		_ = os.RemoveAll(st.temporary)
	}
}

// slowness makes every call of the store take longer, for the fault of that name.
type slowness struct {
	clock clock.Clock
	extra atomic.Int64 // nanoseconds
}

var _ redis.Hook = (*slowness)(nil)

func (s *slowness) wait(ctx context.Context) error {
	d := time.Duration(s.extra.Load())
	if d > 0 && !pause(ctx, s.clock, d) {
		return ctx.Err()
	}
	return nil
}

// DialHook implements redis.Hook.
func (s *slowness) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (s *slowness) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := s.wait(ctx); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (s *slowness) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := s.wait(ctx); err != nil {
			for _, c := range cmds {
				c.SetErr(err)
			}
			return err
		}
		return next(ctx, cmds)
	}
}
