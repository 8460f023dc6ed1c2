package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/wire"
)

// ErrEngine is in the chain of every error of the Docker engine.
var ErrEngine = errors.New("docker engine")

// Limits of what is asked of the engine.
const (
	callTimeout  = 2 * time.Minute // of one command; a loaded engine takes seconds for a container
	readyTimeout = 2 * time.Minute // for a deployment to be ready after a restart
)

// Services of the compose file.
const (
	edge     = "edge"
	redis    = "redis"
	database = "database"
	disk     = "disk" // only where the database's disk has a bound
)

// edgeAddress is the edge's fixed address on the gateways' network.
const edgeAddress = "198.18.77.10"

// Deployment is one compose project on the local engine. Its methods may be called
// from any goroutine.
type Deployment struct {
	project    string
	clock      clock.Clock
	docker     func(ctx context.Context, args ...string) (string, error)
	containers map[string]string // id by service

	mu      sync.Mutex
	active  map[string]*breakage // by kind and target
	failed  []error
	working sync.WaitGroup
}

// breakage is a fault under way.
type breakage struct {
	stop func() bool // of the timer of its end
	end  func()
	once sync.Once
}

// Open finds the containers of a project.
func Open(ctx context.Context, project string) (*Deployment, error) {
	return open(ctx, project, clock.NewWall(), docker)
}

func open(ctx context.Context, project string, clk clock.Clock, run func(context.Context, ...string) (string, error)) (*Deployment, error) {
	d := &Deployment{project: project, clock: clk, docker: run, containers: map[string]string{}, active: map[string]*breakage{}}
	text, err := d.docker(ctx, "ps", "--all", "--no-trunc", "--filter", "label=com.docker.compose.project="+project,
		"--format", `{{.ID}} {{.Label "com.docker.compose.service"}}`)
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(text, "\n") {
		if id, service, ok := strings.Cut(line, " "); ok {
			d.containers[service] = id
		}
	}
	for _, service := range []string{edge, redis, database, "writer1", "gateway1"} {
		if d.containers[service] == "" {
			return nil, fmt.Errorf("%w: project %s has no container %s; start it with make up", ErrEngine, project, service)
		}
	}
	return d, nil
}

// docker runs one command of Docker's command line.
func docker(whole context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(whole, callTimeout)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err != nil && ctx.Err() != nil && whole.Err() == nil {
		return "", fmt.Errorf("%w: docker %s did not end within %v: the engine hangs, restart it", ErrEngine, args[0], callTimeout)
	}
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return "", fmt.Errorf("%w: docker %s: %w: %.200s", ErrEngine, args[0], err, line)
	}
	return strings.TrimSpace(out.String()), nil
}

// gateways are the services of the gateways, the last first: those go first.
func (d *Deployment) gateways() []string {
	var out []string
	for i := 1; d.containers[fmt.Sprint("gateway", i)] != ""; i++ {
		out = append(out, fmt.Sprint("gateway", i))
	}
	slices.Reverse(out)
	return out
}

// writers are the services of the writers.
func (d *Deployment) writers() []string {
	var out []string
	for i := 1; d.containers[fmt.Sprint("writer", i)] != ""; i++ {
		out = append(out, fmt.Sprint("writer", i))
	}
	return out
}

// Inject carries one fault out, as attack.Options.Inject says: it returns at once and
// the fault ends by itself after For. With a For of 0 it only says whether it would.
func (d *Deployment) Inject(ctx context.Context, f wire.Fault) (handled bool, err error) {
	begin, end, err := d.plan(f)
	if begin == nil || err != nil {
		return begin != nil, err
	}
	if f.For <= 0 {
		if f.Kind == fault.DiskFull {
			err = d.bounded(ctx)
		}
		return true, err
	}
	name := fault.Name(f.Kind, f.Target)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.active[name] != nil {
		return true, fmt.Errorf("fault %s: one is under way already", name)
	}
	// Even when the run ends early what is broken is mended, so neither half hangs on
	// its context.
	ctx = context.WithoutCancel(ctx)
	b := &breakage{}
	begun := make(chan struct{})
	b.end = func() {
		b.once.Do(func() {
			<-begun
			d.note(name, "ending it", end(ctx))
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.active, name)
		})
	}
	d.working.Add(1)
	b.stop = d.clock.AfterFunc(f.For, func() {
		defer d.working.Done()
		b.end()
	})
	d.active[name] = b
	d.working.Go(func() {
		defer close(begun)
		d.note(name, "beginning it", begin(ctx))
	})
	return true, nil
}

func (d *Deployment) note(name, what string, err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = append(d.failed, fmt.Errorf("fault %s: %s: %w", name, what, err))
}

// Close ends the faults under way at once and says what went wrong with any fault.
func (d *Deployment) Close() error {
	d.mu.Lock()
	var left []*breakage
	for _, b := range d.active {
		left = append(left, b)
	}
	d.mu.Unlock()
	for _, b := range left {
		if b.stop() { // else its own end is under way, and waited for below
			b.end()
			d.working.Done()
		}
	}
	d.working.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	err := errors.Join(d.failed...)
	d.failed = nil
	return err
}

// step is one half of a fault.
type step func(ctx context.Context) error

// plan is how a fault begins and ends; a begin of nil leaves it to the admin part.
func (d *Deployment) plan(f wire.Fault) (begin, end step, err error) {
	switch f.Kind {
	case fault.Kill, fault.Pause, fault.InstanceLoss:
		return d.parties(f)
	case fault.Cut:
		return d.cut(f.Target)
	case fault.Outage:
		return d.outage()
	case fault.RedisEmpty:
		return d.each([]string{redis}, "kill", "--signal", "KILL"), d.inOrder(d.emptyRedis, d.start([]string{redis})), nil
	case fault.RedisFull:
		return d.redisFull()
	case fault.DiskFull:
		// On a full disk only a connection like one before it is let in, for which no file is made.
		return d.inOrder(d.sql("postgres", "SELECT"), d.onDisk("sh", "-c", fill), d.checkpoint), d.onDisk("rm", "--force", "ballast"), nil
	case fault.ConnectionsFull:
		return d.connections(false), d.connections(true), nil
	}
	_, err = fault.Find(f.Kind, f.Target)
	return nil, nil, err
}

// parties kills or pauses whole containers.
func (d *Deployment) parties(f wire.Fault) (begin, end step, err error) {
	breaks := func(services []string) step { return d.each(services, "kill", "--signal", "KILL") }
	mends := d.start
	if f.Kind == fault.Pause {
		breaks = func(services []string) step { return d.each(services, "pause") }
		mends = func(services []string) step { return d.each(services, "unpause") }
	}
	target := f.Target
	if f.Kind == fault.InstanceLoss {
		target = fault.Gateway
	}
	switch target {
	case fault.Gateway:
		all := d.gateways()
		n := max(1, int(f.Amount))
		if n >= len(all) {
			return nil, nil, fmt.Errorf("fault %s: amount %v: want 1 to %d, one gateway must stay", f.Kind, f.Amount, len(all)-1)
		}
		return breaks(all[:n]), mends(all[:n]), nil
	case fault.Writer:
		var hit []string // known once it is hit
		return func(ctx context.Context) error {
				hit = []string{d.activeWriter(ctx)}
				return breaks(hit)(ctx)
			}, func(ctx context.Context) error {
				return mends(hit)(ctx)
			}, nil
	case fault.Redis, fault.Database: // the words of the services too
		return breaks([]string{target}), mends([]string{target}), nil
	}
	return nil, nil, fmt.Errorf("fault %s: target %.40q: the deployment has no such party", f.Kind, target)
}

// activeWriter is the writer that has the lease, or the first when none can be told.
func (d *Deployment) activeWriter(ctx context.Context) string {
	name, err := d.docker(ctx, "exec", d.containers[redis], "redis-cli", "hget", "{spillway}:writer", "name")
	if err == nil && name != "" {
		host, _, _ := strings.Cut(name, "-") // a container's host name is the start of its id
		for _, w := range d.writers() {
			if strings.HasPrefix(d.containers[w], host) {
				return w
			}
		}
	}
	return "writer1"
}

// each runs one command on the containers of services, all in one call.
func (d *Deployment) each(services []string, args ...string) step {
	return func(ctx context.Context) error {
		all := slices.Clone(args)
		for _, s := range services {
			all = append(all, d.containers[s])
		}
		_, err := d.docker(ctx, all...)
		return err
	}
}

// startsAtOnce is how many containers start side by side: Docker's command line would
// start one after the other, and an older engine miscounts the endpoints of its
// networks when very many come at once.
const startsAtOnce = 4

// start starts the containers of services.
func (d *Deployment) start(services []string) step {
	return func(ctx context.Context) error {
		errs := make([]error, len(services))
		free := make(chan struct{}, startsAtOnce)
		var wg sync.WaitGroup
		for i, s := range services {
			free <- struct{}{}
			wg.Go(func() {
				errs[i] = d.each([]string{s}, "start")(ctx)
				<-free
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}

// inOrder does one step after the other, up to the first error.
func (d *Deployment) inOrder(steps ...step) step {
	return func(ctx context.Context) error {
		for _, s := range steps {
			if err := s(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// network takes a service off a network, or puts it back under its name; address "" =
// any.
func (d *Deployment) network(on bool, network, service, address string) step {
	return func(ctx context.Context) error {
		args := []string{"network", "disconnect"}
		if on {
			args = []string{"network", "connect", "--alias", service}
			if address != "" {
				args = append(args, "--ip", address)
			}
		}
		_, err := d.docker(ctx, append(args, d.project+"_"+network, d.containers[service])...)
		return err
	}
}

// cut takes away the network between two.
func (d *Deployment) cut(target string) (begin, end step, err error) {
	service, address := "", ""
	switch target {
	case fault.GatewayRedis, fault.WriterRedis:
		service = redis
	case fault.GatewayDatabase, fault.WriterDatabase:
		service = database
	case fault.VisitorGateway:
		service, address = edge, edgeAddress
	default:
		return nil, nil, fmt.Errorf("fault cut: target %.40q: the deployment has no such network", target)
	}
	return d.network(false, target, service, address), d.network(true, target, service, address), nil
}

// outage takes the edge off all its networks: with one left, its port would be
// published there.
func (d *Deployment) outage() (begin, end step, err error) {
	return d.inOrder(d.network(false, "access", edge, ""), d.network(false, fault.VisitorGateway, edge, "")),
		// The gateways first: visitors must find them when they are back.
		d.inOrder(d.network(true, fault.VisitorGateway, edge, edgeAddress), d.network(true, "access", edge, "")), nil
}

// emptyRedis removes the files of a Redis that is dead.
func (d *Deployment) emptyRedis(ctx context.Context) error {
	_, err := d.docker(ctx, "run", "--rm", "--network", "none", "--volumes-from", d.containers[redis], "--entrypoint", "sh", "redis:7",
		"-c", "rm -rf /data/*")
	return err
}

// redisFull lowers Redis's memory limit below what it holds.
func (d *Deployment) redisFull() (begin, end step, err error) {
	const usual = "768mb" // as the compose file says
	set := func(limit string) step {
		return func(ctx context.Context) error {
			_, err := d.docker(ctx, "exec", d.containers[redis], "redis-cli", "config", "set", "maxmemory", limit)
			return err
		}
	}
	return set("1"), set(usual), nil
}

// fill takes all that is free on the disk it stands in, and again whatever comes free,
// until the ballast is removed: it holds the file open, so that it cannot make it anew.
// No disk but one in memory is ever written to.
const fill = `[ "$(stat --file-system --format %T .)" = tmpfs ] || { echo 'not on a disk in memory' >&2; exit 1; }
exec 3>> ballast
fallocate --length $(($(stat --file-system --format '%a * %S' .))) ballast 2> /dev/null # quicker than writing; what it misses is written
cat /dev/zero 2>&1 >&3 | grep --quiet 'No space left' || { echo 'the disk does not get full' >&2; exit 1; }
while [ -e ballast ]; do cat /dev/zero >&3; sleep 0.1; done > /dev/null 2>&1 &`

// onDisk runs a command in the root of the database's disk, whether the database lives
// or not.
func (d *Deployment) onDisk(command ...string) step {
	return func(ctx context.Context) error {
		args := append([]string{"exec", "--workdir", "/var/lib/postgresql/data", d.containers[disk]}, command...)
		_, err := d.docker(ctx, args...)
		return err
	}
}

// checkpoint makes the database die of a full disk now, and not within the five minutes
// until it takes a checkpoint by itself.
func (d *Deployment) checkpoint(ctx context.Context) error {
	err := d.sql("postgres", "CHECKPOINT")(ctx)
	switch {
	case err == nil:
		return errors.New("the database took a checkpoint: its disk was not full")
	case strings.Contains(err.Error(), "psql: error: "): // it was not let in
		return err
	}
	return nil // the answer never came
}

// bounded refuses a database whose disk is full only when the host's is.
func (d *Deployment) bounded(ctx context.Context) error {
	made, err := d.docker(ctx, "volume", "inspect", "--format", "{{.Options.type}} {{.Options.o}}", d.project+"_"+database)
	if err == nil && (d.containers[disk] == "" || !strings.HasPrefix(made, "tmpfs size=")) {
		err = fmt.Errorf("fault %s: the database's disk has no bound: start the deployment with make up DISK=bounded", fault.DiskFull)
	}
	return err
}

// connections opens or closes the database to connections.
func (d *Deployment) connections(on bool) step {
	query := fmt.Sprintf("ALTER DATABASE spillway ALLOW_CONNECTIONS %v", on)
	if !on {
		query += "; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'spillway'"
	}
	return d.sql("postgres", query)
}

// sql runs a query as the owner of the deployment's database.
func (d *Deployment) sql(name, query string) step {
	return func(ctx context.Context) error {
		_, err := d.docker(ctx, "exec", d.containers[database], "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--username=spillway",
			"--dbname="+name, "--command="+query)
		return err
	}
}

// Fresh empties both stores and starts every process anew, so that the sale begins
// again. ready is asked until it says nil.
func (d *Deployment) Fresh(ctx context.Context, ready func(context.Context) error) error {
	members := append(append(d.writers(), d.gateways()...), edge)
	err := d.inOrder(
		d.each(members, "stop", "--time", "0"), // no error where one is dead already
		func(ctx context.Context) error {
			_, err := d.docker(ctx, "exec", d.containers[redis], "redis-cli", "flushall")
			return err
		},
		d.sql("spillway", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
		d.start(members))(ctx)
	if err != nil {
		return err
	}
	for began := d.clock.Now(); ; {
		if err = ready(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		if d.clock.Now()-began > readyTimeout {
			return fmt.Errorf("%w: the deployment is not ready %v after it was started anew: %w", ErrEngine, readyTimeout, err)
		}
		again := make(chan struct{})
		stop := d.clock.AfterFunc(time.Second, func() { close(again) })
		select {
		case <-again:
		case <-ctx.Done():
			stop()
		}
	}
}
