package containers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
	tcredis "github.com/testcontainers/testcontainers-go/modules/redis"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Images, as "make images" names them.
const (
	RedisImage    = "redis:7"
	PostgresImage = "postgres:15"
)

const (
	// startWithin bounds a start, so that a stuck engine is an error.
	startWithin = 90 * time.Second
	// label marks every container with the process that started it.
	label = "spillway.test.pid"
)

var ready struct {
	sync.Once
	err error
}

// engine skips the test when no engine answers, and fails it when the image is
// not there. The context bounds one start.
func engine(t testing.TB, image string) (context.Context, context.CancelFunc) {
	t.Helper()
	ready.Do(func() {
		// Nothing but this very word switches the reaper off.
		ready.err = os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
		// An engine on a socket is on this machine. Left to itself the library looks
		// elsewhere when the machine looks like a container.
		const host = "TESTCONTAINERS_HOST_OVERRIDE"
		at := os.Getenv("DOCKER_HOST")
		if _, set := os.LookupEnv(host); !set && (at == "" || strings.HasPrefix(at, "unix:")) {
			ready.err = errors.Join(ready.err, os.Setenv(host, "127.0.0.1"))
		}
	})
	if ready.err != nil {
		t.Fatal(ready.err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	docker, err := connect(ctx)
	if err != nil {
		cancel()
		t.Skipf("no Docker engine answers, so nothing was tested here: %v", err)
	}
	defer docker.Close() // it has nothing to lose
	if _, err := docker.ImageInspect(ctx, image); err != nil {
		cancel()
		t.Fatalf("image %s is not in the Docker engine: run make images (%v)", image, err)
	}
	sweep(ctx, t, docker)
	return ctx, cancel
}

// connect is a client of the engine. Looking for one panics where there is none.
func connect(ctx context.Context) (c *testcontainers.DockerClient, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if c, err = testcontainers.NewDockerClientWithOpts(ctx); err != nil {
		return nil, err
	}
	if _, err = c.Ping(ctx, client.PingOptions{}); err != nil {
		_ = c.Close() // the first error is the one that tells
		return nil, err
	}
	return c, nil
}

// sweep removes what processes that are gone have left behind.
func sweep(ctx context.Context, t testing.TB, docker *testcontainers.DockerClient) {
	t.Helper()
	found, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		t.Fatalf("listing containers: %v", err)
	}
	for _, c := range found.Items {
		pid, err := strconv.Atoi(c.Labels[label])
		if err == nil && syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		// Another run may be at it too, so that it fails means nothing.
		_, _ = docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
}

func labelled() testcontainers.CustomizeRequestOption {
	return testcontainers.WithLabels(map[string]string{label: strconv.Itoa(os.Getpid())})
}

// Redis starts a Redis without persistence and returns its URL.
func Redis(t testing.TB) string {
	t.Helper()
	ctx, cancel := engine(t, RedisImage)
	defer cancel()
	c, err := tcredis.Run(ctx, RedisImage, labelled())
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	if err != nil {
		t.Fatalf("starting Redis: %v", err)
	}
	at, err := c.ConnectionString(ctx)
	if err != nil {
		t.Fatalf("starting Redis: %v", err)
	}
	return at
}

// Cluster starts a Redis Cluster of three primaries and returns its URL.
func Cluster(t testing.TB) string {
	t.Helper()
	ctx, cancel := engine(t, RedisImage)
	defer cancel()
	const nodes = 3
	var started [nodes]*tcredis.RedisContainer
	var errs [nodes]error
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			started[i], errs[i] = tcredis.Run(ctx, RedisImage, labelled(),
				testcontainers.WithCmd("redis-server", "--cluster-enabled", "yes", "--cluster-node-timeout", "5000"))
		})
	}
	wg.Wait()
	for _, c := range started {
		testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	}
	create := []string{"redis-cli", "--cluster", "create"}
	var addrs []string
	for i, c := range started {
		if errs[i] != nil {
			t.Fatalf("starting node %d of the cluster: %v", i, errs[i])
		}
		ip, err := c.ContainerIP(ctx)
		if err != nil {
			t.Fatalf("node %d of the cluster: %v", i, err)
		}
		addrs = append(addrs, ip+":6379")
	}
	code, out, err := started[0].Exec(ctx, append(append(create, addrs...), "--cluster-yes"))
	if err != nil || code != 0 {
		said := ""
		if out != nil {
			b, _ := io.ReadAll(out) // what can be read of it
			said = string(b)
		}
		t.Fatalf("joining the cluster: exit %d, %v: %s", code, err, said)
	}
	up := wait.ForExec([]string{"redis-cli", "cluster", "info"}).WithResponseMatcher(func(r io.Reader) bool {
		b, err := io.ReadAll(r)
		return err == nil && strings.Contains(string(b), "cluster_state:ok")
	}).WithPollInterval(50 * time.Millisecond)
	for i, c := range started {
		if err := up.WaitUntilReady(ctx, c); err != nil {
			t.Fatalf("node %d of the cluster: %v", i, err)
		}
	}
	return "redis://" + addrs[0] + "?addr=" + strings.Join(addrs[1:], "&addr=")
}

// Client is a client of a Redis, or of a cluster, that is closed with the test.
func Client(t testing.TB, at string) redis.UniversalClient {
	t.Helper()
	c, err := newClient(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // nothing is written behind a caller's back
	return c
}

func newClient(at string) (redis.UniversalClient, error) {
	if !strings.Contains(at, "addr=") {
		o, err := redis.ParseURL(at)
		if err != nil {
			return nil, err
		}
		o.MaxRetries = -1
		return redis.NewClient(o), nil
	}
	o, err := redis.ParseClusterURL(at)
	if err != nil {
		return nil, err
	}
	o.MaxRetries = -1
	return redis.NewClusterClient(o), nil
}

// PostgreSQL is a running server.
type PostgreSQL struct {
	url       string
	container testcontainers.Container
}

// small is a disk of its own in PostgreSQL's container: an empty database takes
// half of it.
const small = "/small"

// Postgres starts a PostgreSQL with fsync on, and with these settings besides:
// "name=value".
func Postgres(t testing.TB, settings ...string) *PostgreSQL {
	t.Helper()
	ctx, cancel := engine(t, PostgresImage)
	defer cancel()
	const name = "spillway" // of user, password and database
	at := func(host string, port network.Port) string {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(name, name), Host: net.JoinHostPort(host, port.Port()),
			Path: "/" + name, RawQuery: "sslmode=disable"}
		return u.String()
	}
	cmd := []string{"postgres"}
	for _, s := range settings {
		cmd = append(cmd, "-c", s)
	}
	c, err := postgres.Run(ctx, PostgresImage, labelled(), postgres.WithDatabase(name), postgres.WithUsername(name),
		postgres.WithPassword(name), testcontainers.WithCmd(cmd...), testcontainers.WithTmpfs(map[string]string{small: "size=16m"}),
		testcontainers.WithWaitStrategyAndDeadline(startWithin, wait.ForSQL("5432/tcp", "pgx", at)))
	testcontainers.CleanupContainer(t, c, testcontainers.StopTimeout(0))
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	p := &PostgreSQL{container: c}
	if p.url, err = c.ConnectionString(ctx, "sslmode=disable"); err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	return p
}

var databases atomic.Int64

// Database makes an empty database and returns its URL. It goes with the server.
func (p *PostgreSQL) Database(t testing.TB) string {
	t.Helper()
	return p.make(t, "")
}

// Small makes an empty database on a disk of 16 MiB and returns its URL.
func (p *PostgreSQL) Small(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	folder := small + "/space"
	code, _, err := p.container.Exec(ctx, []string{"install", "-d", "-o", "postgres", folder})
	if err != nil || code != 0 {
		t.Fatalf("making a folder for a small database: exit %d, %v", code, err)
	}
	p.Exec(t, "CREATE TABLESPACE small LOCATION '"+folder+"'")
	return p.make(t, " TABLESPACE small")
}

func (p *PostgreSQL) make(t testing.TB, where string) string {
	t.Helper()
	name := fmt.Sprintf("t%d", databases.Add(1))
	p.Exec(t, "CREATE DATABASE "+name+where)
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Exec runs a statement as the administrator.
func (p *PostgreSQL) Exec(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // nothing to lose
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
