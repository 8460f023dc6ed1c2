package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/wire"
)

// engine answers as Docker's command line does and remembers what it was told.
type engine struct {
	mu    sync.Mutex
	calls []string
	fail  string // commands that begin so fail
	said  string // on failing
	plain bool   // the database's disk has no bound
}

func (e *engine) run(_ context.Context, args ...string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := strings.Join(args, " ")
	e.calls = append(e.calls, line)
	if e.fail != "" && strings.HasPrefix(line, e.fail) {
		return "", fmt.Errorf("%w: %s", ErrEngine, cmp.Or(e.said, "no"))
	}
	switch {
	case args[0] == "ps":
		out := ""
		for _, s := range []string{"edge", "redis", "disk", "database", "control", "writer1", "writer2", "gateway1", "gateway2", "gateway3"} {
			out += "id-" + s + " " + s + "\n"
		}
		return strings.ReplaceAll(out, "id-writer2", "beef2222aaaa"), nil
	case args[0] == "volume" && e.plain:
		return "<no value> <no value>", nil
	case args[0] == "volume":
		return "tmpfs size=512m", nil
	case strings.Contains(line, "hget"):
		return "beef2222-1-1", nil
	}
	return "", nil
}

// told are the commands since Open.
func (e *engine) told() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls[1:])
}

func deployment(t *testing.T, e *engine) *Deployment {
	t.Helper()
	d, err := open(context.Background(), "p", clock.NewWall(), e.run)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Each fault begins at once, and ends by itself when its time is over.
func TestFaultsOnContainers(t *testing.T) {
	for name, x := range map[string]struct {
		f          wire.Fault
		begin, end []string
	}{
		"two gateways killed": {wire.Fault{Kind: fault.Kill, Target: fault.Gateway, Amount: 2},
			[]string{"kill --signal KILL id-gateway3 id-gateway2"}, []string{"start id-gateway2", "start id-gateway3"}},
		"one instance lost": {wire.Fault{Kind: fault.InstanceLoss, Amount: 1},
			[]string{"kill --signal KILL id-gateway3"}, []string{"start id-gateway3"}},
		"a gateway paused": {wire.Fault{Kind: fault.Pause, Target: fault.Gateway},
			[]string{"pause id-gateway3"}, []string{"unpause id-gateway3"}},
		"the writer with the lease": {wire.Fault{Kind: fault.Kill, Target: fault.Writer},
			[]string{"exec id-redis redis-cli hget {spillway}:writer name", "kill --signal KILL beef2222aaaa"}, []string{"start beef2222aaaa"}},
		"the database killed": {wire.Fault{Kind: fault.Kill, Target: fault.Database},
			[]string{"kill --signal KILL id-database"}, []string{"start id-database"}},
		"a partition": {wire.Fault{Kind: fault.Cut, Target: fault.GatewayRedis},
			[]string{"network disconnect p_gateway-redis id-redis"}, []string{"network connect --alias redis p_gateway-redis id-redis"}},
		"an outage": {wire.Fault{Kind: fault.Outage},
			[]string{"network disconnect p_access id-edge", "network disconnect p_visitor-gateway id-edge"},
			[]string{"network connect --alias edge --ip 198.18.77.10 p_visitor-gateway id-edge", "network connect --alias edge p_access id-edge"}},
		"an empty Redis": {wire.Fault{Kind: fault.RedisEmpty}, []string{"kill --signal KILL id-redis"},
			[]string{"run --rm --network none --volumes-from id-redis --entrypoint sh redis:7 -c rm -rf /data/*", "start id-redis"}},
		"a full Redis": {wire.Fault{Kind: fault.RedisFull},
			[]string{"exec id-redis redis-cli config set maxmemory 1"}, []string{"exec id-redis redis-cli config set maxmemory 768mb"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &engine{}
				d := deployment(t, e)
				if handled, err := d.Inject(context.Background(), x.f); !handled || err != nil || len(e.told()) > 0 {
					t.Errorf("asked: %v, %v, %q", handled, err, e.told())
				}
				x.f.For = 4 * time.Second
				if handled, err := d.Inject(context.Background(), x.f); !handled || err != nil {
					t.Fatalf("%v, %v", handled, err)
				}
				synctest.Wait()
				if got := e.told(); !slices.Equal(got, x.begin) {
					t.Errorf("begins with %q, want %q", got, x.begin)
				}
				if _, err := d.Inject(context.Background(), x.f); err == nil {
					t.Error("the same fault began twice")
				}
				time.Sleep(4*time.Second + time.Nanosecond)
				synctest.Wait()
				got := e.told()[len(x.begin):]
				if x.f.Kind == fault.Kill {
					slices.Sort(got) // containers start side by side
				}
				if !slices.Equal(got, x.end) {
					t.Errorf("ends with %q, want %q", got, x.end)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A run that ends early leaves nothing broken, and what failed is told.
func TestCloseMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{fail: "unpause"}
		d := deployment(t, e)
		for _, f := range []wire.Fault{{Kind: fault.Kill, Target: fault.Redis, For: time.Hour}, {Kind: fault.Pause, Target: fault.Database, For: time.Hour}} {
			if handled, err := d.Inject(context.Background(), f); !handled || err != nil {
				t.Fatal(handled, err)
			}
		}
		err := d.Close()
		if !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "pause:database") {
			t.Errorf("closing said %v", err)
		}
		got := e.told()
		slices.Sort(got)
		want := []string{"kill --signal KILL id-redis", "pause id-database", "start id-redis", "unpause id-database"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

const (
	askDisk  = "volume inspect --format {{.Options.type}} {{.Options.o}} p_database"
	fillDisk = "exec --workdir /var/lib/postgresql/data id-disk sh -c " + fill
	asPsql   = "exec id-database psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=spillway --dbname=postgres --command="
	goCheck  = asPsql + "CHECKPOINT"
	freeDisk = "exec --workdir /var/lib/postgresql/data id-disk rm --force ballast"
)

// A disk with a bound is full until the fault's end, or the run's, even when filling it
// failed half way, it was not full or the database is dead.
func TestDiskFull(t *testing.T) {
	all := []string{asPsql + "SELECT", fillDisk, goCheck}
	for name, x := range map[string]struct {
		fail, said string
		begin      []string
		want       string // what closing says
	}{
		"filled":         {goCheck, "server closed the connection unexpectedly", all, ""},
		"filled in part": {fillDisk, "not on a disk in memory", all[:2], "fault disk-full: beginning it"},
		"not full":       {"", "", all, "took a checkpoint"},
		"not let in":     {goCheck, "psql: error: connection to server failed: FATAL:  could not write init file", all, "init file"},
	} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, early %v", name, early), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := &engine{fail: x.fail, said: x.said}
					d := deployment(t, e)
					full, killed := wire.Fault{Kind: fault.DiskFull}, wire.Fault{Kind: fault.Kill, Target: fault.Database, For: time.Hour}
					if handled, err := d.Inject(context.Background(), full); !handled || err != nil || !slices.Equal(e.told(), []string{askDisk}) {
						t.Errorf("asked: %v, %v, %q", handled, err, e.told())
					}
					full.For = 4 * time.Second
					for _, f := range []wire.Fault{full, killed} {
						if handled, err := d.Inject(context.Background(), f); !handled || err != nil {
							t.Fatal(handled, err)
						}
						synctest.Wait()
					}
					begun := append(append([]string{askDisk}, x.begin...), "kill --signal KILL id-database")
					if !slices.Equal(e.told(), begun) {
						t.Errorf("begins with %q, want %q", e.told(), begun)
					}
					if !early {
						time.Sleep(4*time.Second + time.Nanosecond)
						synctest.Wait()
						if got := e.told()[len(begun):]; !slices.Equal(got, []string{freeDisk}) {
							t.Errorf("ends with %q", got)
						}
					}
					if err := d.Close(); (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
						t.Errorf("closing said %v, want %q", err, x.want)
					}
					got := e.told()[len(begun):]
					slices.Sort(got) // what is left ends in no order
					if want := []string{freeDisk, "start id-database"}; !slices.Equal(got, want) {
						t.Errorf("ends with %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// A disk whose only bound is the host's is refused before the run.
func TestDiskFullWantsABound(t *testing.T) {
	for name, e := range map[string]*engine{"a plain volume": {plain: true}, "nothing to fill it from": {}, "no volume": {fail: "volume"}} {
		d := deployment(t, e)
		if name == "nothing to fill it from" {
			delete(d.containers, disk)
		}
		_, err := d.Inject(context.Background(), wire.Fault{Kind: fault.DiskFull})
		if err == nil || strings.Contains(err.Error(), "\n") || e.fail == "" && !strings.HasSuffix(err.Error(), "make up DISK=bounded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsLeftOrRefused(t *testing.T) {
	d := deployment(t, &engine{})
	for _, f := range []wire.Fault{{Kind: fault.WriterStop}, {Kind: fault.SlowStore}, {Kind: fault.Slow, Target: fault.GatewayRedis}, {Kind: fault.ClockStep},
		{Kind: fault.AckLost, Target: fault.Redis}, {Kind: fault.Poison}, {Kind: fault.Duplicate}, {Kind: fault.EdgeStale}} {
		f.For = time.Second
		if handled, err := d.Inject(context.Background(), f); handled || err != nil {
			t.Errorf("%s: %v, %v, want it left to the admin part", f.Kind, handled, err)
		}
	}
	for name, f := range map[string]wire.Fault{
		"every gateway":    {Kind: fault.Kill, Target: fault.Gateway, Amount: 3},
		"an unknown party": {Kind: fault.Kill, Target: "queen"},
		"an unknown cut":   {Kind: fault.Cut, Target: "gateway-moon"},
	} {
		if _, err := d.Inject(context.Background(), f); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line", name, err)
		}
	}
}

func TestOpenWantsTheDeployment(t *testing.T) {
	none := func(context.Context, ...string) (string, error) { return "id web\n", nil }
	if _, err := open(context.Background(), "p", clock.NewWall(), none); !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "make up") {
		t.Errorf("%v", err)
	}
}

func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &engine{}
		d := deployment(t, e)
		asked := 0
		err := d.Fresh(context.Background(), func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || asked != 3 {
			t.Errorf("%v after %d", err, asked)
		}
		got := e.told()
		if len(got) != 9 || !strings.HasPrefix(got[0], "stop") || !strings.HasSuffix(got[1], "flushall") || !strings.Contains(got[2], "DROP SCHEMA") {
			t.Errorf("%q", got)
		}
		for _, line := range got[3:] {
			if !strings.HasPrefix(line, "start ") {
				t.Errorf("%q comes after the stores were emptied", line)
			}
		}
		never := func(context.Context) error { return errors.New("never") }
		if err := d.Fresh(context.Background(), never); !errors.Is(err, ErrEngine) {
			t.Errorf("a deployment that never is ready: %v", err)
		}
	})
}
