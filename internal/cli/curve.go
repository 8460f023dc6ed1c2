package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/reference"
	"spillway/reports/plot"
	"spillway/scenarios"
)

type curveCmd struct {
	choice
	Redis    string        `required:"" env:"SPILLWAY_REDIS" placeholder:"URL" help:"A Redis that may be filled."`
	DB       string        `name:"db" required:"" env:"SPILLWAY_DB" placeholder:"URL" help:"A database that may be filled."`
	Gateways []int         `default:"1,2,4,8,16" help:"Numbers of gateway processes."`
	Clients  int           `default:"64" help:"Connections that submit, each as soon as its last submit was answered."`
	For      time.Duration `default:"3s" help:"Length of each measurement, after a second of warming up."`
	output
}

// Limits of a curve: what one machine starts and a store holds.
const (
	curveGatewaysMax = 64
	curveClientsMax  = 1024
	curveLongest     = time.Minute
	curveWarm        = time.Second
	curveStock       = 1_000_000_000 // never sold out
)

// curvePoint is one measurement.
type curvePoint struct {
	Gateways    int     `json:"gateways"`
	SubmitsPerS float64 `json:"submits_per_s"` // accepted
	Refused     int     `json:"refused"`       // answered otherwise, or not at all
	P50Millis   float64 `json:"p50_ms"`
	P99Millis   float64 `json:"p99_ms"`
	RowsPerS    float64 `json:"rows_per_s"` // written by the writer meanwhile
}

// Run measures accepted submits a second through 1, 2, 4 … native gateway processes,
// in a closed loop: a capacity, not the response to a crowd.
func (c *curveCmd) Run(a *app) error {
	switch {
	case len(c.Gateways) == 0 || c.For <= 0 || c.For > curveLongest:
		return badInput(fmt.Errorf("--gateways and --for: want numbers of gateways, and up to %v each", curveLongest))
	case c.Clients < 1 || c.Clients > curveClientsMax:
		return badInput(fmt.Errorf("--clients %d: want 1 to %d", c.Clients, curveClientsMax))
	}
	for i, n := range c.Gateways {
		if n < 1 || n > curveGatewaysMax || i > 0 && n <= c.Gateways[i-1] {
			return badInput(fmt.Errorf("--gateways %d: want ascending numbers from 1 to %d", n, curveGatewaysMax))
		}
	}
	sc, err := c.scaled()
	if err != nil {
		return err
	}
	dir, err := newRunDir(c.Out, "curve")
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	var points []curvePoint
	for i, n := range c.Gateways {
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		show.say("[%d/%d] %d gateways", i+1, len(c.Gateways), n)
		p, err := c.point(a.ctx, sc, dir, n)
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	return c.tell(a, dir, points)
}

// tell prints the points and draws them.
func (c *curveCmd) tell(a *app, dir string, points []curvePoint) error {
	x, y := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		x[i], y[i] = float64(p.Gateways), p.SubmitsPerS
	}
	fig, err := plot.Curve("curve", "Accepted submits per second by number of gateways", machine()+"; generator and stores on the same machine",
		fmt.Sprintf("Native gateways, one process each, %d connections in a closed loop, %v a point.", c.Clients, c.For), "gateways", "submits/s", x, y)
	if err != nil {
		return err
	}
	for ext, data := range map[string][]byte{".svg": fig.SVG, ".png": fig.PNG} { // two files, any order
		if err := writeWhole(filepath.Join(dir, fig.ID+ext), data); err != nil {
			return err
		}
	}
	if c.JSON {
		return writeJSON(a, points)
	}
	fmt.Fprintf(a.stdout, "gateways  submits/s  refused  p50        p99        rows/s\n")
	for _, p := range points {
		fmt.Fprintf(a.stdout, "%8d  %9s  %7d  %-9s  %-9s  %s\n", p.Gateways, count(int(p.SubmitsPerS)), p.Refused,
			fmt.Sprintf("%.1f ms", p.P50Millis), fmt.Sprintf("%.1f ms", p.P99Millis), count(int(p.RowsPerS)))
	}
	fmt.Fprintf(a.stdout, "\nfigure: %s\n", filepath.Join(dir, fig.ID+".png"))
	return nil
}

// point measures one number of gateways on a sale of its own.
func (c *curveCmd) point(ctx context.Context, sc *scenarios.Scaled, dir string, n int) (p curvePoint, err error) {
	cfg := backendConfig(sc)
	cfg.Mode, cfg.Native, cfg.Off = booking.ModeQueued, true, map[string]bool{"admission": true}
	cfg.OpenAt, cfg.Stock.Items, cfg.Queue.Depth, cfg.Ledger.Rate = 0, []int{curveStock}, 0, 0
	cfg.Redis, cfg.Database = c.Redis, c.DB
	cfg.Event = fmt.Sprintf("curve-%d-%d", os.Getpid(), n)
	cfg.Secret = "the secret of one curve, and of nothing else"
	var children []*backend
	defer func() {
		for _, b := range children {
			err = errors.Join(err, b.stop())
		}
		if len(children) == 0 {
			return // nobody has written anything
		}
		err = errors.Join(err, reference.Forget(context.WithoutCancel(ctx), c.Redis, cfg.Event))
	}()
	start := func(role, name string) error {
		cfg.Role = role
		b, err := startBackend(ctx, cfg, filepath.Join(dir, fmt.Sprintf("%d-%s.log", n, name)))
		if err == nil {
			children = append(children, b)
		}
		return err
	}
	if err := start(reference.RoleWriter, "writer"); err != nil {
		return p, err
	}
	for i := range n {
		if err := start(reference.RoleGateway, fmt.Sprint("gateway", i+1)); err != nil {
			return p, err
		}
	}
	return c.drive(ctx, children[0], children[1:])
}

// drive submits through the gateways and counts what is accepted once they are warm.
func (c *curveCmd) drive(ctx context.Context, writer *backend, gateways []*backend) (curvePoint, error) {
	ctx, cancel := context.WithTimeout(ctx, curveWarm+c.For)
	defer cancel()
	began := time.Now()
	warm := began.Add(curveWarm)
	transport := &http.Transport{Proxy: nil, MaxIdleConnsPerHost: c.Clients}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	var hist record.Hist
	refused := 0
	var wg sync.WaitGroup
	for i := range c.Clients {
		wg.Go(func() {
			var own record.Hist
			no := 0
			url := gateways[i%len(gateways)].URL + wire.PathBookings
			for turn := 0; ctx.Err() == nil; turn++ {
				user := began.UnixNano()/1000*curveClientsMax + int64(turn)*curveClientsMax + int64(i) // nobody comes twice
				sent := time.Now()
				ok := submitOnce(ctx, transport, url, user)
				if sent.Before(warm) || ctx.Err() != nil {
					continue
				}
				if ok {
					own.Add(time.Since(sent))
				} else {
					no++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			hist.Merge(&own)
			refused += no
		})
	}
	rows := func() float64 {
		var s wire.Samples
		if writer.call(context.WithoutCancel(ctx), http.MethodGet, wire.PathAdminSamples, nil, &s) != nil {
			return 0
		}
		return s.Totals["ledger.rows"]
	}
	time.Sleep(time.Until(warm))
	before := rows()
	<-ctx.Done()
	written := rows() - before
	wg.Wait()
	if hist.Count() == 0 {
		return curvePoint{}, environment(fmt.Errorf("no submit was accepted through %d gateways; see their logs", len(gateways)))
	}
	ms := func(q float64) float64 { return hist.Quantile(q).Seconds() * 1e3 }
	return curvePoint{Gateways: len(gateways), SubmitsPerS: float64(hist.Count()) / c.For.Seconds(), Refused: refused,
		P50Millis: ms(0.5), P99Millis: ms(0.99), RowsPerS: written / c.For.Seconds()}, nil
}

// submitOnce books once; false = it was not accepted.
func submitOnce(ctx context.Context, rt http.RoundTripper, url string, user int64) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"item":0}`))
	if err != nil {
		return false
	}
	name := strconv.FormatInt(user, 10)
	r.Header.Set(wire.HeaderUser, name)
	r.Header.Set(wire.HeaderKey, "c"+name)
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.Header.Get(wire.HeaderOutcome) == booking.Queued.String()
}
