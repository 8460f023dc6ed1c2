package reference

import (
	"fmt"
	"math"
	"net"
	"sort"
	"strconv"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/gateway"
	"spillway/reference/stock"
)

// Values that a Config leaves out.
const (
	defaultListen = "127.0.0.1:0"
	defaultEvent  = "spillway"
	instancesMax  = 1024
	defaultGrace  = time.Second // ten looks of a gateway
)

// defaults fills in the values whose zero means "as usual".
func (c Config) defaults() Config {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.AdminListen == "" {
		c.AdminListen = defaultListen
	}
	if c.Event == "" {
		c.Event = defaultEvent
	}
	if c.Stock.Grace == 0 && c.Redis != "" {
		c.Stock.Grace = defaultGrace
	}
	if c.Gateway.Instances == 0 {
		c.Gateway.Instances = 1
	}
	if c.Admission.Gate == 0 {
		c.Admission.Gate, c.Admission.Probability = policy.GateOff, 1
	}
	if c.Lottery == (policy.LotteryRules{}) {
		c.Lottery = policy.DefaultLotteryRules()
	}
	if c.Role == RoleGateway {
		if c.Share == 0 {
			c.Share = 1
		}
		g := &c.Gateway
		g.Instances = 1
		g.Capacity, g.Room = g.Capacity*c.Share, g.Room*c.Share
		g.InFlight = int(math.Ceil(float64(g.InFlight) * c.Share))
	}
	return c
}

// check refuses what cannot be served. Each error is one line that names the key.
func (c Config) check() error {
	if err := c.checkRole(); err != nil {
		return err
	}
	if c.Mode < booking.ModeLossless || c.Mode > booking.ModeLottery {
		return fmt.Errorf("mode: want one of %v", booking.Modes())
	}
	for _, word := range sorted(c.Off) {
		if _, known := Layers[word]; !known {
			return fmt.Errorf("off: unknown layer %.40q; want one of %v", word, sortedLayers())
		}
	}
	numbers := []struct {
		key string
		v   float64
	}{
		{"edge.origin_units", c.Edge.OriginUnits}, {"gateway.capacity", c.Gateway.Capacity}, {"gateway.service_cv", c.Gateway.ServiceCV},
		{"gateway.status_units", c.Gateway.StatusUnits}, {"gateway.poll_units", c.Gateway.PollUnits},
		{"gateway.submit_units", c.Gateway.SubmitUnits}, {"gateway.room", c.Gateway.Room},
		{"gateway.retry_ratio", c.Gateway.RetryRatio}, {"ledger.rate", c.Ledger.Rate},
		{"ledger.database_rate", c.Ledger.DatabaseRate}, {"ledger.read_units", c.Ledger.ReadUnits}, {"ledger.write_units", c.Ledger.WriteUnits},
		{"gateway.in_flight", float64(c.Gateway.InFlight)}, {"queue.depth", float64(c.Queue.Depth)}, {"queue.attempts", float64(c.Queue.Attempts)},
		{"connections", float64(c.Connections)}, {"stock.batch_max", float64(c.Stock.BatchMax)}, {"edge.catalogue_bytes", float64(c.Edge.CatalogueBytes)},
	}
	for _, n := range numbers {
		if !(n.v >= 0) || math.IsInf(n.v, 0) {
			return fmt.Errorf("%s: %v: want a number of 0 or more", n.key, n.v)
		}
	}
	times := []struct {
		key string
		d   time.Duration
	}{
		{"edge.config_life", c.Edge.ConfigLife}, {"edge.catalogue_life", c.Edge.CatalogueLife}, {"edge.client_life", c.Edge.ClientLife},
		{"gateway.unit_time", c.Gateway.UnitTime}, {"gateway.drop_after", c.Gateway.DropAfter}, {"gateway.retry_after", c.Gateway.RetryAfter},
		{"stock.closed_life", c.Stock.ClosedLife}, {"stock.linger", c.Stock.Linger}, {"stock.grace", c.Stock.Grace}, {"ledger.every", c.Ledger.Every},
		{"ledger.flush_every", c.Ledger.FlushEvery}, {"gateway.ladder.hold", c.Gateway.Ladder.Hold}, {"close_at", c.CloseAt},
	}
	for _, t := range times {
		if t.d < 0 {
			return fmt.Errorf("%s: %v: want a duration of 0 or more", t.key, t.d)
		}
	}
	if err := c.Lottery.Check(); err != nil {
		return fmt.Errorf("lottery.%w", err)
	}
	if c.Crash != "" {
		if _, _, err := parseCrash(c.Crash); err != nil {
			return err
		}
	}
	switch {
	case c.Gateway.Instances < 1 || c.Gateway.Instances > instancesMax:
		return fmt.Errorf("gateway.instances: %d: want 1 to %d", c.Gateway.Instances, instancesMax)
	case !c.Native && c.Gateway.Capacity <= 0:
		return fmt.Errorf("gateway.capacity: %v: want more than 0 units/s, or native", c.Gateway.Capacity)
	case !c.Native && c.Gateway.Capacity*c.Gateway.UnitTime.Seconds() > 1e6:
		return fmt.Errorf("gateway.unit_time: %v at %v units/s makes more than a million slots", c.Gateway.UnitTime, c.Gateway.Capacity)
	case c.Edge.CatalogueBytes > 16<<20:
		return fmt.Errorf("edge.catalogue_bytes: %d: want at most 16 MiB", c.Edge.CatalogueBytes)
	case len(c.Stock.Items) < 1 || len(c.Stock.Items) > stock.ItemsMax:
		return fmt.Errorf("stock.items: %d items: want 1 to %d", len(c.Stock.Items), stock.ItemsMax)
	case c.Stock.BatchMax > stock.BatchLimit:
		return fmt.Errorf("stock.batch_max: %d: want at most %d", c.Stock.BatchMax, stock.BatchLimit)
	case c.Secret != "" && len(c.Secret) < secretMin:
		return fmt.Errorf("secret: %d characters: want at least %d, as openssl rand -hex 32 makes them", len(c.Secret), secretMin)
	case c.Phones && c.Secret == "":
		return fmt.Errorf("secret: phones are kept under a key: set it, at least %d characters", secretMin)
	case c.Mode == booking.ModeTimedWriter && c.Ledger.FlushEvery == 0:
		return fmt.Errorf("ledger.flush_every: mode timed-writer needs it, more than 0")
	case c.Mode == booking.ModeLottery && c.Off["queue"]:
		return fmt.Errorf("off: mode lottery has no way without its queue")
	}
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"admin_listen", c.AdminListen}} {
		_, port, err := net.SplitHostPort(a.addr)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			return fmt.Errorf("%s: %.60q: want HOST:PORT, as in 127.0.0.1:8080", a.key, a.addr)
		}
	}
	for i, n := range c.Stock.Items {
		if n < 0 || n > 1e9 {
			return fmt.Errorf("stock.items: item %d has %d reservations: want 0 to 10^9", i, n)
		}
	}
	return nil
}

// sorted are the words that are switched off, in order.
func sorted(off map[string]bool) []string {
	words := make([]string, 0, len(off))
	for w := range off {
		words = append(words, w)
	}
	sort.Strings(words)
	return words
}

func sortedLayers() []string {
	words := make([]string, 0, len(Layers))
	for w := range Layers {
		words = append(words, w)
	}
	sort.Strings(words)
	return words
}

// checkRole refuses a role that cannot work with the others.
func (c Config) checkRole() error {
	switch {
	case c.Role == RoleAll:
		return nil
	case c.Role != RoleGateway && c.Role != RoleWriter:
		return fmt.Errorf("role: %.40q: want one of %s, %s, %s, or none for all in one process", c.Role, RoleGateway, RoleWriter, RoleControl)
	case c.Secret == "":
		return fmt.Errorf("secret: role %s shares its tickets with other processes; give all of them the same secret", c.Role)
	case c.Redis == "" || c.Database == "":
		return fmt.Errorf("role: %s shares its stores with other processes; give the URLs of Redis and the database", c.Role)
	case c.direct():
		return fmt.Errorf("role: %s: without the queue there is no writer; run mode %v in one process", c.Role, c.Mode)
	case !(c.Share >= 0 && c.Share <= 1):
		return fmt.Errorf("share: %v: want more than 0 and up to 1", c.Share)
	}
	return nil
}

// Floor says what a gateway's share makes of its limiter, which has whole slots: one
// pool for all gateways would have more of them, each faster. "" when this config is
// no gateway's, or has no modelled slots.
func (c Config) Floor() string {
	g := c.Gateway
	if c.Role != RoleGateway || c.Native || c.Share == 0 || c.Share == 1 || g.UnitTime == 0 {
		return ""
	}
	pooled, unit := gateway.Slots(g.Capacity, g.UnitTime)
	slots, slow := gateway.Slots(g.Capacity*c.Share, g.UnitTime)
	submit := func(unit time.Duration) time.Duration { return time.Duration(g.SubmitUnits * float64(unit)) }
	return fmt.Sprintf("each gateway has a limiter of its own: %.4g of %.4g units/s, slots: %d, so a submit takes %v; pooled it would be slots: %d, and a submit %v",
		g.Capacity*c.Share, g.Capacity, slots, submit(slow), pooled, submit(unit))
}
