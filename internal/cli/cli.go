package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"spillway/reports/gate"
)

// app is what every command gets: where it may write, and until when.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// command is the command line; each field's Run is in the file of its name.
type command struct {
	Spike     spikeCmd     `cmd:"" help:"The opening rush against the bundled backend, the same without the layers, a short sweep; one report."`
	Attack    attackCmd    `cmd:"" help:"Drive one scenario against the bundled backend or any URL that speaks the contract."`
	Sim       simCmd       `cmd:"" help:"Simulate the whole day of a scenario, every visit by itself at 1:1, or any part and scale of it; the same report. A bare station (station-*) beside queueing theory."`
	Sweep     sweepCmd     `cmd:"" help:"Run a scenario over a grid of settings and seeds; one report. Resumes where it stopped. A bare station too, with --arm sim."`
	Plan      planCmd      `cmd:"" help:"Find the fewest servers, the largest admission or the smallest queue that meet the objectives, by simulation."`
	Scales    scalesCmd    `cmd:"" help:"Simulate a scenario at 1:1, 1:100, 1:1000 and at the attack's scale; one figure of what the scale model distorts."`
	Serve     serveCmd     `cmd:"" help:"Run the reference backend alone."`
	Chaos     chaosCmd     `cmd:"" help:"The rush under each fault in turn, against the bundled backend; one report of what was lost and how long it took to recover."`
	Report    reportCmd    `cmd:"" help:"Make the report of records again."`
	Gate      gateCmd      `cmd:"" help:"Judge a record by its objectives; the exit code is the verdict."`
	Compare   compareCmd   `cmd:"" help:"Hold simulations against a measurement, with intervals, or set any records side by side."`
	Calibrate calibrateCmd `cmd:"" help:"Take the simulator's constants from measured records."`
	Validate  validateCmd  `cmd:"" help:"Calibrate on a short attack, predict other points, measure them; exit code 3 when the goal is missed."`
	Merge     mergeCmd     `cmd:"" help:"Merge the records of a run's shards without loss."`
	Reconcile reconcileCmd `cmd:"" help:"Prove the invariants from the stores of a backend."`

	Curve curveCmd `cmd:"" help:"Measure accepted submits a second through 1, 2, 4 … native gateway processes on real stores; one figure."`

	Lottery  lotteryCmd  `cmd:"" help:"A day of the lottery: seal, draw, verify, prove, export."`
	DLQ      dlqCmd      `cmd:"" name:"dlq" help:"Dead letters: list, show, replay, discard, audit."`
	Scenario scenarioCmd `cmd:"" help:"List, show, explain or validate scenarios."`
	Health   healthCmd   `cmd:"" help:"Ask a backend whether it can serve; the health check of its image."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

const description = `Load-testing and capacity-simulation harness for flash crowds.

Exit codes: 0 ok, 1 internal error, 2 bad input, 3 objective missed or a station differs from theory, 4 generator lagged (run invalid),
5 invariant broken, 6 inconclusive, 7 environment (port, disk, target), 130 interrupted.`

// Main runs one command line and returns the exit code. Errors are one line on
// stderr.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
			signal.Stop(signals) // a second Ctrl-C ends the program at once
		case <-ctx.Done():
		}
	}()
	out := &sink{w: stdout}
	err := run(&app{ctx, stdin, out, stderr}, args)
	var v verdict
	if out.err != nil && (err == nil || errors.As(err, &v) || errors.Is(err, out.err)) {
		err = environment(fmt.Errorf("cannot write to standard output: %w; make room or send it elsewhere", out.err))
	}
	switch {
	case errors.As(err, &v):
		return v.code
	case err != nil:
		fmt.Fprintf(stderr, "spillway: %v\n", err)
	}
	return codeOf(err)
}

// sink remembers that a write failed: an answer that nobody got is no success,
// and most commands print without looking.
type sink struct {
	w   io.Writer
	err error // the first
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// verdict is a result that was already printed: only its code is left to say.
type verdict struct{ code int }

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", v.code) }

func run(a *app, args []string) error {
	var cmd command
	exited := -1
	k, err := kong.New(&cmd, kong.Name("spillway"), kong.Description(description), kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(code int) { exited = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.UsageOnError())
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := k.Parse(args)
	if exited >= 0 { // --help
		return nil
	}
	if err != nil {
		return badInput(err)
	}
	return parsed.Run(a)
}

// verdictOf turns a gate's code into a command's result.
func verdictOf(code int) error {
	if code == gate.ExitOK {
		return nil
	}
	return verdict{code}
}
