package deploy

import (
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
}

func (e *engine) run(_ context.Context, args ...string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := strings.Join(args, " ")
	e.calls = append(e.calls, line)
	if e.fail != "" && strings.HasPrefix(line, e.fail) {
		return "", fmt.Errorf("%w: no", ErrEngine)
	}
	switch {
	case args[0] == "ps":
		out := ""
		for _, s := range []string{"edge", "redis", "database", "control", "writer1", "writer2", "gateway1", "gateway2", "gateway3"} {
			out += "id-" + s + " " + s + "\n"
		}
		return strings.ReplaceAll(out, "id-writer2", "beef2222aaaa"), nil
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
		"a full disk":      {Kind: fault.DiskFull},
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
