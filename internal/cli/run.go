package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"spillway/internal/deploy"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/reference"
	"spillway/scenarios"
	"spillway/scenarios/attack"
)

// target says where a run goes.
type target struct {
	Target     string `placeholder:"URL" help:"Drive this URL instead of the bundled backend."`
	AdminURL   string `placeholder:"URL" help:"Admin part of the target: timed faults, config changes, samples."`
	AdminToken string `env:"SPILLWAY_ADMIN_TOKEN" placeholder:"TOKEN" help:"Token of the admin part."`
	Redis      string `env:"SPILLWAY_REDIS" placeholder:"URL" help:"Redis of the target, to prove its invariants after the run."`
	DB         string `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"Database of the target, for the same."`
	Deployment string `placeholder:"PROJECT" help:"The target is this compose project on the local Docker engine: faults are done to its containers."`
	InFlight   int    `default:"12000" help:"Most requests in flight; what is due beyond it waits, and counts as late."`
}

// drainWithin bounds the wait for an accepted booking to be written after the
// run: twice the time that the default queue needs at the default rate.
const drainWithin = 10 * time.Second

// readyAgain bounds the wait for a backend to be whole again after the run.
const readyAgain = 30 * time.Second

// untilReady waits until an admin part says that it is ready, at most within.
func untilReady(ctx context.Context, adminURL string, within time.Duration) error {
	return again(ctx, within, func() error { return answers(ctx, adminURL+wire.PathReady, 5*time.Second) })
}

// again tries until it goes well, for so long.
func again(ctx context.Context, within time.Duration, try func() error) error {
	for end := time.Now().Add(within); ; {
		err := try()
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		time.Sleep(250 * time.Millisecond)
	}
}

// runOne runs a scaled scenario once and returns its record with the invariants
// checked. Without a target it runs the bundled backend for it, whose files go to
// dir. An interrupted run returns its partial record and no error; a run whose
// backend failed afterwards returns its record and the error, for what was
// measured is worth keeping.
func runOne(ctx context.Context, sc *scenarios.Scaled, to target, dir, name string, show *progress) (*record.Record, error) {
	opt := attack.Options{Target: to.Target, MaxInFlight: to.InFlight,
		Progress: func(p attack.Progress) { show.update(func() string { return progressLine(name, sc, p) }) }}
	var b *backend
	if to.Target == "" {
		cfg := backendConfig(sc)
		cfg.Dir = filepath.Join(dir, "backend-"+name)
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, environment(fmt.Errorf("cannot make the backend's folder: %w", err))
		}
		defer os.RemoveAll(cfg.Dir) // the database is the run's, the record is what stays
		var err error
		if b, err = startBackend(ctx, cfg, filepath.Join(dir, "backend-"+name+".log")); err != nil {
			return nil, err
		}
		opt.Target = b.URL
		opt.Admin = &attack.Admin{URL: b.AdminURL, Token: b.AdminToken}
	} else if to.AdminURL != "" {
		opt.Admin = &attack.Admin{URL: to.AdminURL, Token: to.AdminToken}
	}
	var accepted []reference.AcceptedTicket
	opt.OnAccepted = func(t attack.Accepted) {
		accepted = append(accepted, reference.AcceptedTicket{Ticket: t.Ticket})
	}
	mended := func() error { return nil }
	if to.Deployment != "" {
		d, err := deploy.Open(ctx, to.Deployment)
		if err != nil {
			return nil, environment(err)
		}
		opt.Inject, mended = d.Inject, d.Close
	}
	defer bound(b != nil || to.Deployment != "")()
	rec, err := attack.Run(ctx, sc, opt)
	if broken := mended(); err != nil {
		err = errors.Join(err, broken)
	} else if broken != nil {
		rec.Header.Notes = append(rec.Header.Notes, strings.ReplaceAll(broken.Error(), "\n", "; "))
	}
	if err != nil {
		if b != nil {
			err = errors.Join(err, b.stop())
		}
		switch {
		case errors.Is(err, attack.ErrTarget):
			return nil, environment(err)
		case errors.Is(err, attack.ErrInput), errors.Is(err, attack.ErrAdmin):
			return nil, badInput(err)
		}
		return nil, err
	}
	rec.Header.Label = "attack"
	rec.Header.Commit = version()
	rec.Header.Machine = machine()
	rec.Header.Baseline = sc.Full.Baseline
	if b == nil && (to.DB == "" || to.AdminURL == "") {
		rec.Header.Notes = append(rec.Header.Notes, "the target is not the bundled backend, and its stores and admin part were not given: its invariants were not checked")
		return rec, nil
	}
	if b == nil {
		there := &backend{Ready: reference.Ready{AdminURL: strings.TrimSuffix(to.AdminURL, "/"), AdminToken: to.AdminToken, Redis: to.Redis, Database: to.DB}}
		if err := checkInvariants(context.WithoutCancel(ctx), there, sc, rec, accepted); err != nil {
			rec.Header.Notes = append(rec.Header.Notes, "the invariants were not checked: "+err.Error())
			return rec, err
		}
		return rec, nil
	}
	// Reconcile before the child stops, whatever the signal says: the rows are
	// there, and a partial run keeps its promises too.
	err = checkInvariants(context.WithoutCancel(ctx), b, sc, rec, accepted)
	if stopErr := b.stop(); stopErr != nil {
		err = errors.Join(err, stopErr)
	}
	if err == nil {
		return rec, removeIfEmpty(b.log.file.Name())
	}
	rec.Header.Notes = append(rec.Header.Notes, "the backend failed after the run: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	return rec, err
}

// memoryLimit is what the garbage collector keeps the generator below while that
// is possible: what is really in use never reaches it at the default in-flight limit.
const memoryLimit = 448 << 20

// bound holds the generator to its share of the machine for one run. Beside a
// backend on the same machine it takes half of the cores: more would only take turns with the
// backend's, and one core costs a third less a request than two that steal from
// each other (BenchmarkAtRate in scenarios/attack). The returned function lifts it.
func bound(shared bool) (lift func()) {
	limit := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(limit, memoryLimit))
	procs := runtime.GOMAXPROCS(0)
	if shared {
		runtime.GOMAXPROCS(max(1, procs/2))
	}
	return func() {
		debug.SetMemoryLimit(limit)
		runtime.GOMAXPROCS(procs)
	}
}

func removeIfEmpty(file string) error {
	if info, err := os.Stat(file); err == nil && info.Size() == 0 {
		return os.Remove(file)
	}
	return nil
}

// checkInvariants drains the backend and writes into the record what the stores'
// own rows say.
func checkInvariants(ctx context.Context, b *backend, sc *scenarios.Scaled, rec *record.Record, accepted []reference.AcceptedTicket) error {
	// After a fault the sale may still be rebuilt, and who was killed still start.
	if err := untilReady(ctx, b.AdminURL, readyAgain); err != nil {
		rec.Header.Notes = append(rec.Header.Notes, fmt.Sprintf("%v after the run: %v", readyAgain, err))
	}
	drained, err := b.drain(ctx, drainWithin)
	if err != nil {
		return err
	}
	if drained.Depth > 0 {
		rec.Header.Notes = append(rec.Header.Notes, fmt.Sprintf("%d accepted bookings were still queued %v after the run", drained.Depth, drainWithin))
	}
	// Stock left over is a defect only when people were told that none was left.
	toldGone := rec.OutcomeCount("submit", "closed")+rec.OutcomeCount("check", "closed")+rec.OutcomeCount("status", "closed") > 0
	var found reference.Report
	_ = again(ctx, readyAgain, func() error { // err says it too; a database that a fault has killed is not back at once
		found, err = reference.Reconcile(ctx, b.Ready, backendConfig(sc),
			reference.Reconciling{Accepted: accepted, Drained: drained.Depth == 0, DemandLeft: toldGone})
		if errors.Is(err, reference.ErrEnvironment) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reconciling: %w", err)
	}
	for _, c := range found.Checks {
		rec.Invariants = append(rec.Invariants, record.Invariant{Name: c.Name, Broken: c.Broken, Detail: c.Detail})
	}
	return nil
}

// newRunDir makes the folder of a run: the given one, or a new one below
// reports/out named by command, scenario and moment.
func newRunDir(out, name string) (string, error) {
	if out == "" {
		out = filepath.Join("reports", "out", name+"-"+time.Now().Format("20060102-150405"))
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", environment(fmt.Errorf("cannot make the run's folder: %w", err))
	}
	probe := filepath.Join(out, ".writable")
	if err := os.WriteFile(probe, nil, 0o644); err != nil {
		return "", environment(fmt.Errorf("cannot write into the run's folder: %w", err))
	}
	return out, os.Remove(probe)
}

// scenarioName is a scenario's name as part of a file name.
func scenarioName(s string) string {
	s = strings.TrimSuffix(filepath.Base(s), filepath.Ext(s))
	if s == "" || s == "." {
		return "scenario"
	}
	return s
}

// count writes a number with a thin group separator, as a person reads it.
func count[T int | uint64 | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// fresh starts a deployment's sale again and waits until all of it is ready.
func fresh(ctx context.Context, to target) error {
	d, err := deploy.Open(ctx, to.Deployment)
	if err != nil {
		return err
	}
	return d.Fresh(ctx, func(ctx context.Context) error {
		for _, url := range []string{to.AdminURL + wire.PathReady, to.Target + wire.PathHealth} {
			if err := answers(ctx, url, 5*time.Second); err != nil {
				return err
			}
		}
		return nil
	})
}
