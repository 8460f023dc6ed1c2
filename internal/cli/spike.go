package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"spillway/internal/record"
	"spillway/internal/sweep"
	"spillway/scenarios"
	"spillway/scenarios/attack"
)

type spikeCmd struct {
	choice
	Baseline string   `default:"suikang-lossless" help:"Scenario of the comparison run; empty for none."`
	Points   string   `default:"suikang-sweep" help:"Scenario of the short sweep; empty for none."`
	Vary     []string `default:"admission.probability=5%,20%,50%,100%;queue.depth=2000,5000,10000,20000,40000" sep:";" help:"What the short sweep varies, one key at a time."`
	output
}

func (c *spikeCmd) Run(a *app) error {
	main, err := c.scaled()
	if err != nil {
		return err
	}
	// Everything that can be refused is refused before the first minute is spent.
	var base *scenarios.Scaled
	if c.Baseline != "" {
		if base, err = loadScaled(c.Baseline, c.Seed); err != nil {
			return err
		}
	}
	var points [][]record.Setting
	if c.Points != "" {
		axes, err := axesOf(loader(c.Points, settings{}, windowOpening), c.Vary)
		if err != nil {
			return err
		}
		points = sweep.Cross(axes)
	}
	dir, err := newRunDir(c.Out, scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	phases := 1
	for _, more := range []bool{base != nil, points != nil} {
		if more {
			phases++
		}
	}
	set := reportSet{}
	show.say("[1/%d] %s", phases, heading(main))
	announce(show, main)
	if set.Main, err = measure(a, main, target{InFlight: defaultInFlight}, dir, "main", mainRecord, show); err != nil {
		return err
	}
	show.say("      %s", oneLine(set.Main))
	if base != nil && a.ctx.Err() == nil {
		show.say("[2/%d] %s", phases, heading(base))
		announce(show, base)
		if set.Baseline, err = measure(a, base, target{InFlight: defaultInFlight}, dir, "baseline", baselineRecord, show); err != nil {
			return err
		}
		show.say("      %s", oneLine(set.Baseline))
	}
	if points != nil && a.ctx.Err() == nil {
		show.say("[%d/%d] %s: %d points, one key at a time", phases, phases, c.Points, len(points))
		plan := sweepPlan(a, loader(c.Points, settings{}, windowOpening), points, []uint64{c.Seed}, filepath.Join(dir, pointsDir), show)
		recs, err := plan.Do(a.ctx)
		if err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
		set.Sweeps = [][]*record.Record{recs}
	}
	return finish(a, show, dir, c.JSON, set)
}

const defaultInFlight = 12000

func loadScaled(name string, seed uint64) (*scenarios.Scaled, error) {
	c := choice{Scenario: name, settings: settings{Seed: seed}}
	return c.scaled()
}

// sweepPlan is the plan of a sweep on the attack arm.
func sweepPlan(a *app, load func() (*scenarios.Spec, error), points [][]record.Setting, seeds []uint64, dir string, show *progress) *sweep.Plan {
	began, ran, total := time.Now(), 0, len(points)*len(seeds)
	return &sweep.Plan{Load: load, Points: points, Seeds: seeds, Commit: version(), Dir: dir,
		Step: func(i, n int, settings []record.Setting, seed uint64, found bool) {
			switch {
			case found:
				show.say("      point %d of %d, %s, seed %d: found finished", i+1, n, settingsText(settings), seed)
				total--
			case ran > 0:
				left := time.Since(began) / time.Duration(ran) * time.Duration(total-ran)
				show.say("      point %d of %d, %s, seed %d (about %v left)", i+1, n, settingsText(settings), seed, left.Round(time.Second))
			default:
				show.say("      point %d of %d, %s, seed %d", i+1, n, settingsText(settings), seed)
			}
		},
		Run: func(ctx context.Context, spec *scenarios.Spec, seed uint64, settings []record.Setting) (*record.Record, error) {
			sc, err := scaledFor(spec, seed)
			if err != nil {
				return nil, err
			}
			rec, err := runOne(ctx, sc, target{InFlight: defaultInFlight}, dir, "point", show)
			if err == nil {
				rec.Header.Vary = settings
				ran++
			}
			return rec, err
		}}
}

func settingsText(settings []record.Setting) string {
	text := "as it stands"
	for i, s := range settings {
		if i == 0 {
			text = ""
		} else {
			text += " "
		}
		text += s.Key + "=" + s.Value
	}
	return text
}

// heading names a run on one line.
func heading(sc *scenarios.Scaled) string {
	return fmt.Sprintf("%s, mode %v, people 1:%g, time ×%g, seed %d, %v of run", sc.Name, sc.Mode, 1/sc.S, sc.K, sc.Seed, sc.Length)
}

// announce says what the law predicts, before the run can say otherwise.
func announce(show *progress, sc *scenarios.Scaled) {
	p := sc.Prediction
	sold := "no sell-out"
	if p.SoldOutAt >= 0 {
		sold = fmt.Sprintf("sold out at +%.1f s", p.SoldOutAt.Seconds())
	}
	show.say("      predicted: %s visits, peak %.0f requests/s, load %.2f, %s, margin %+.1f σ",
		count(uint64(p.Visits)), p.PeakHTTP, p.PeakLoad, sold, p.Margin)
}

func progressLine(name string, sc *scenarios.Scaled, p attack.Progress) string {
	return fmt.Sprintf("      %s %s %-8s plan %5.0f/s sent %5.0f/s in flight %5d waiting %6d admitted %4d refused %s depth %s late p50 %s p99 %s",
		bar(p.Elapsed.Seconds()/sc.Length.Seconds(), 12), signed(p.ScenarioTime), p.Phase, p.Planned, p.Achieved, p.InFlight, p.Waiting, p.Admitted,
		refusals(p.Refused), depth(p.QueueDepth), short(p.LatenessP50), short(p.LatenessP99))
}
