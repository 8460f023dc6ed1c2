package reference

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/netfault"
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
	client                redis.UniversalClient
	slow                  *slowness
	net                   *links
	db                    *ledger.DB // of the gateways, and of the writer where there is none
	writerDB              *ledger.DB // nil when direct
	temporary             string     // folder to remove; "" = none
}

// openStores opens both. What it has opened is closed again when it fails.
func openStores(ctx context.Context, c Config, clk clock.Clock) (st *stores, err error) {
	st = &stores{slow: &slowness{clock: clk}, net: newLinks(clk, draw.Seed(c.Seed))}
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
	mend := "check that the folder exists, can be written and has room"
	if c.Database != "" {
		if st.databaseURL = c.Database; !strings.HasPrefix(c.Database, "sqlite:") {
			mend = "check that the server runs and has this database, user and password"
		}
	} else {
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
	mine, options := fault.GatewayDatabase, ledger.DBOptions{Tap: c.crashTap()}
	if c.Role == RoleWriter {
		mine = fault.WriterDatabase
	}
	options.Around = st.net.around(mine)
	st.db, err = ledger.Open(ctx, st.databaseURL, options)
	if err == nil && !c.direct() {
		options.Around = st.net.around(fault.WriterDatabase)
		st.writerDB, err = ledger.Open(ctx, st.databaseURL, options)
	}
	if err != nil {
		if errors.Is(err, ledger.ErrDatabase) {
			return fmt.Errorf("database: %w", err)
		}
		return environment{fmt.Errorf("database: %w; %s", err, mend)}
	}
	return nil
}

// awaitDatabase opens the database for reading, once a writer has made its tables.
func (st *stores) awaitDatabase(ctx context.Context) error {
	for began := st.slow.clock.Now(); ; {
		var err error
		if st.db, err = ledger.OpenReadOnly(ctx, st.databaseURL, ledger.DBOptions{Around: st.net.around(fault.GatewayDatabase)}); err == nil {
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
	mine := fault.GatewayRedis
	if c.Role == RoleWriter {
		mine = fault.WriterRedis
	}
	if st.client, err = dialRedis(ctx, st.redisURL, st.net.to[mine], st.slow, st.net.full, st.net.lostRedis); err != nil {
		return err
	}
	if tap := c.crashTap(); tap != nil {
		st.client.AddHook(TapRedis(tap))
	}
	return nil
}

// noLog keeps go-redis from writing to standard error: what goes wrong comes back
// as an error and is counted.
type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

var quiet sync.Once

// dialRedis connects to a Redis by URL, or to a Redis Cluster when the URL names
// further addresses: redis://HOST:PORT?addr=HOST:PORT&addr=HOST:PORT. A repeated
// submit is for the visitor to decide, so nothing is retried.
// It goes over the link, unless that is nil.
func dialRedis(ctx context.Context, url string, link *netfault.Link, hooks ...redis.Hook) (redis.UniversalClient, error) {
	quiet.Do(func() { redis.SetLogger(noLog{}) })
	c, at, err := redisClient(url, link)
	if err != nil {
		// No more of the cause: it may show the URL, and that a password.
		return nil, errors.New("store: the Redis URL cannot be read: want redis://HOST:PORT/DB, or redis://HOST:PORT?addr=HOST:PORT for a cluster")
	}
	for _, h := range hooks {
		c.AddHook(h)
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := c.Ping(ctx).Err(); err != nil {
		_ = c.Close() // the first error is the one that tells
		return nil, environment{fmt.Errorf("store: no answer from Redis at %s: %w; start it, or leave the URL out for the embedded one", at, err)}
	}
	return c, nil
}

// redisClient is a client of what a URL names, and its addresses in words.
func redisClient(rawURL string, link *netfault.Link) (c redis.UniversalClient, at string, err error) {
	dial := func(t *tls.Config) func(context.Context, string, string) (net.Conn, error) {
		if link == nil {
			return nil // go-redis's own
		}
		return link.Dial(redis.NewDialer(&redis.Options{DialTimeout: storePatience, TLSConfig: t}))
	}
	if clustered(rawURL) {
		o, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, "", err
		}
		o.MaxRetries, o.DialerRetries = -1, 1
		o.ContextTimeoutEnabled, o.DisableIdentity = true, true
		o.Dialer = dial(o.TLSConfig)
		return redis.NewClusterClient(o), strings.Join(o.Addrs, ", "), nil
	}
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, "", err
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true
	o.Dialer = dial(o.TLSConfig)
	return redis.NewClient(o), o.Addr, nil
}

// clustered reports whether a URL names a cluster.
func clustered(rawURL string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && u.Query().Has("addr")
}

// shownRedis is a Redis URL as it may be printed: without its password.
func shownRedis(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	if name := u.User.Username(); name != "" {
		u.User = url.User(name)
	} else {
		u.User = nil
	}
	return u.String()
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
	if st.writerDB != nil {
		_ = st.writerDB.Close()
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
