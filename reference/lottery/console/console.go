package console

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"spillway/reference/lottery"
)

// Options are what a console shows and may do.
type Options struct {
	// Dir is the bundle's folder. While it does not exist the list is open.
	Dir string
	// Due has the hours that are shown while the list is open; nil = none are.
	Due *lottery.Seal
	// Now is the wall clock.
	Now func() time.Time
	// From is where the clock of a rehearsal starts; zero = lead before the draw is due.
	// A seal that is no rehearsal goes by the wall clock whatever From says.
	From time.Time
	// Token is the admin token, at least TokenLeast bytes.
	Token string
	// Keys reads the operator's key and secret when a draw is made; nil = this console
	// makes none.
	Keys func() (ed25519.PrivateKey, lottery.Secret, error)
	// Fairness tests a draw that was made; nil = this console tests none.
	Fairness func(context.Context, *lottery.Bundle, lottery.Drawn) ([]Test, error)
	// List writes a pharmacy's list as CSV, FileName names its file.
	List     func(io.Writer, lottery.ShopList) error
	FileName func(lottery.ShopList) string
	// Style is the style sheet that the console's own adds to.
	Style string
}

// Test is one row of the fairness tests.
type Test struct {
	Name   string // such as "trend over the hour of entry"
	Tested string // what was tested, in words
	// P is the p value, Corrected the same for the number of tests; 0 to 1.
	P, Corrected float64
	Verdict      string // in words
	Fits         bool   // the verdict is that a fair draw does so
}

// TokenLeast is the least length of an admin token, in bytes.
const TokenLeast = 16

// lead is how long before the draw is due the clock of a rehearsal starts.
const lead = 30 * time.Second

// Console is the page over one bundle. It is safe for concurrent use.
type Console struct {
	o      Options
	token  [sha256.Size]byte
	ctx    context.Context // ends the draw and the tests
	cancel context.CancelFunc
	work   sync.WaitGroup

	asked   bucket // pages, proofs and files
	refused bucket // lines of the audit log for who has no token
	sending chan struct{}

	acting sync.Mutex // one action at a time

	mu     sync.Mutex
	view   *view
	base   time.Time // what the clock showed
	since  time.Time // at this moment of the wall clock; zero = it is the wall clock
	job    *job
	failed string // why the last draw came to nothing
	unsaid int    // refusals that are not in the log
	lists  winners
	fair   fairness
}

// job is a draw under way.
type job struct {
	What string `json:"what"`
	Done int64  `json:"done"`
	Of   int64  `json:"of"`
}

// winners are the lists of a draw, by its digest.
type winners struct {
	of   lottery.Hash
	all  []lottery.ShopList
	err  error
	read bool
}

// fairness is what the tests of a draw came to.
type fairness struct {
	of   lottery.Hash
	rows []Test
	err  error
	done bool
}

// New makes a console. The bundle is opened when it is there.
func New(o Options) (*Console, error) {
	if len(o.Token) < TokenLeast {
		return nil, fmt.Errorf("console: an admin token of %d bytes: want %d or more, made by chance", len(o.Token), TokenLeast)
	}
	c := &Console{o: o, token: sha256.Sum256([]byte(o.Token)), sending: make(chan struct{}, sendingMost),
		asked: bucket{rate: askedRate, burst: askedBurst}, refused: bucket{rate: refusalsRate, burst: refusalsBurst}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if !o.From.IsZero() {
		c.base, c.since = o.From, o.Now()
	}
	c.view = &view{}
	v := c.look()
	if _, err := os.Lstat(o.Dir); err == nil && v.Bundle == nil {
		return nil, v.Broken
	}
	if v.Bundle != nil && !o.From.IsZero() && !v.Seal.Rehearsal {
		return nil, errors.Join(errors.New("console: the seal is no rehearsal: it goes by the wall clock, not by another"), c.Close())
	}
	return c, nil
}

// Close ends the draw and the tests under way and closes the bundle. Nothing is shown
// any more.
func (c *Console) Close() error {
	c.cancel()
	c.work.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.view.Bundle
	if b == nil {
		return nil
	}
	now := c.nowLocked()
	c.view = &view{}
	var err error
	if c.unsaid > 0 {
		err = b.Audit().Append(now, nobody, "refuse", lottery.Hash{}, fmt.Sprintf("%d with no token or a wrong one, not logged one by one", c.unsaid))
		c.unsaid = 0
	}
	return errors.Join(err, b.Close())
}

// now is the moment on the console's clock, in the zone of the draw.
func (c *Console) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Console) nowLocked() time.Time {
	t := c.o.Now()
	if !c.since.IsZero() {
		t = c.base.Add(t.Sub(c.since))
	}
	if s := c.hours(); s != nil {
		t = t.In(s.DrawAt.Location())
	}
	return t
}

// hours has the hours of the day: the seal's, or those it will have; nil = unknown.
func (c *Console) hours() *lottery.Seal {
	if c.view.Bundle != nil {
		return &c.view.Seal
	}
	return c.o.Due
}

// look is the bundle as it is now: read again when a file of it has changed, by
// whomever.
func (c *Console) look() *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view.Bundle == nil && c.ctx.Err() == nil {
		c.open()
	}
	if b := c.view.Bundle; b != nil {
		// While a draw is made here, some of its files are there and some are not.
		if s := stampOf(b.Dir); c.job == nil && s != c.view.stamp {
			c.view = read(b, s)
		}
		c.test()
	}
	return c.view
}

// open opens the bundle once it is there, and sets the clock by it.
func (c *Console) open() {
	_, err := os.Lstat(c.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		c.view = &view{}
		return
	}
	b, err := lottery.Open(c.o.Dir)
	if err != nil {
		c.view = &view{Broken: err}
		return
	}
	c.view = read(b, stampOf(b.Dir))
	switch s := b.Seal; {
	case !s.Rehearsal:
		c.since = time.Time{}
	case c.since.IsZero():
		c.base, c.since = dueOf(s).Add(-lead), c.o.Now()
	}
}

// dueOf is when the draw can be made: at its hour, with the beacon's value known.
func dueOf(s lottery.Seal) time.Time {
	if known := s.Beacon.Available(); known.After(s.DrawAt) {
		return known.In(s.DrawAt.Location())
	}
	return s.DrawAt
}

// test starts the tests of a draw that has none yet. The mutex is held.
func (c *Console) test() {
	v := c.view
	if c.o.Fairness == nil || v.Drawn == nil || c.fair.of == v.Draw || c.ctx.Err() != nil {
		return
	}
	c.fair = fairness{of: v.Draw}
	c.work.Go(func() {
		rows, err := c.o.Fairness(c.ctx, v.Bundle, *v.Drawn)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fair.rows, c.fair.err, c.fair.done = rows, err, true
	})
}

// listsOf are the lists of all pharmacies of a view's draw.
func (c *Console) listsOf(v *view) ([]lottery.ShopList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lists.read || c.lists.of != v.Draw {
		all, err := v.Bundle.Lists()
		c.lists = winners{v.Draw, all, err, true}
	}
	return c.lists.all, c.lists.err
}

// bucket lets rate events a second through, burst at once.
type bucket struct {
	rate, burst float64

	mu    sync.Mutex
	spent float64
	last  time.Time
}

// take says whether one more may come.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-max(0, now.Sub(b.last).Seconds())*b.rate)
	b.last = now
	if b.spent+1 > b.burst {
		return false
	}
	b.spent++
	return true
}
