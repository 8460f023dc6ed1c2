package fault

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Words of the kinds.
const (
	WriterStop      = "writer-stop"
	SlowStore       = "slow-store"
	InstanceLoss    = "instance-loss"
	Kill            = "kill"
	Pause           = "pause"
	Cut             = "cut"
	Slow            = "slow"
	RedisEmpty      = "redis-empty"
	RedisFull       = "redis-full"
	DiskFull        = "disk-full"
	ConnectionsFull = "connections-full"
	ClockStep       = "clock-step"
	AckLost         = "ack-lost"
	Poison          = "poison"
	Duplicate       = "duplicate"
	EdgeStale       = "edge-stale"
	Outage          = "outage"
)

// Words of the targets: a party, or the network between two.
const (
	Gateway         = "gateway"
	Writer          = "writer"
	Redis           = "redis"
	Database        = "database"
	GatewayRedis    = "gateway-redis"
	WriterRedis     = "writer-redis"
	GatewayDatabase = "gateway-database"
	WriterDatabase  = "writer-database"
	VisitorGateway  = "visitor-gateway"
)

// Units of an amount.
const (
	Seconds   = "s"
	Share     = "%" // 0..1 in code
	Instances = "instances"
	Messages  = "messages"
	Entries   = "entries"
)

// Row is one fault: a kind, what it may hit, how strong it is, and what each arm
// makes of it.
type Row struct {
	Kind    string
	Targets []string // one of them is to be named; none = the kind has no target
	Unit    string   // of the amount; "" = the kind has none
	// Min and Max bound the amount in Unit. Default stands for an amount of 0;
	// 0 = the amount must be given.
	Min, Max, Default float64
	Does              string
	// Embedded, Deployment and Simulator say what the arm does: the backend in one
	// process, the containers, the simulation. A Simulator of "" = it cannot, and
	// refuses it.
	Embedded, Deployment, Simulator string
	// Why says, for an empty Simulator, what the simulation lacks.
	Why string
}

// Table is every fault there is, in the order in which it is shown.
var Table = []Row{
	{Kind: WriterStop, Does: "the writer begins no batch",
		Embedded: "the writer waits", Deployment: "posted to the writers", Simulator: "the writer waits"},
	{Kind: SlowStore, Unit: Seconds, Min: 1e-6, Max: 10, Does: "every call of a store takes longer",
		Embedded: "each call waits", Deployment: "posted to every process", Simulator: "each call takes longer"},
	{Kind: InstanceLoss, Unit: Instances, Min: 1, Max: 1e5, Does: "the front passes over the last instances",
		Embedded: "as said", Deployment: "kill -9, then start", Simulator: "as said; one always stays"},

	{Kind: Kill, Targets: []string{Gateway}, Unit: Instances, Min: 1, Max: 1e5, Default: 1, Does: "instances die with what they have in hand, and come back empty",
		Embedded: "their requests are cut without an answer, work that was begun goes on; new ones are passed over them", Deployment: "kill -9, then start", Simulator: "as embedded, save that begun work is answered"},
	{Kind: Kill, Targets: []string{Writer}, Does: "the writer dies in the middle of a batch; another takes over what was pending",
		Embedded: "abandoned at its call; one with another name starts afterwards", Deployment: "kill -9, then start", Simulator: "the writer waits: no batch is ever half done"},
	{Kind: Kill, Targets: []string{Redis}, Does: "Redis dies and comes back with its memory (append-only file)",
		Embedded: "connections reset, dials refused, memory kept", Deployment: "kill -9, then start", Simulator: "submits fail at once, closed flags keep their last value, the writer waits"},
	{Kind: Kill, Targets: []string{Database}, Does: "the database dies and comes back with what was committed",
		Embedded: "every call fails; open transactions are undone", Deployment: "kill -9, then start", Simulator: "the writer waits"},
	{Kind: Pause, Targets: []string{Gateway}, Unit: Instances, Min: 1, Max: 1e5, Default: 1, Does: "instances stand still, then go on",
		Embedded: "their requests hang, then go on; new ones are still sent to them", Deployment: "pause, then unpause", Why: "its gateways serve from one station"},
	{Kind: Pause, Targets: []string{Writer}, Does: "the writer stands still, then goes on",
		Embedded: "its calls hang, then go on", Deployment: "pause, then unpause", Simulator: "the writer waits"},
	{Kind: Pause, Targets: []string{Redis}, Does: "Redis stands still, then goes on",
		Embedded: "what is sent waits in its sockets", Deployment: "pause, then unpause", Why: "its calls of a store cannot hang: take kill"},
	{Kind: Pause, Targets: []string{Database}, Does: "the database stands still, then goes on",
		Embedded: "calls hang, then go on", Deployment: "pause, then unpause", Simulator: "the writer waits"},
	{Kind: Cut, Targets: []string{GatewayRedis, WriterRedis, GatewayDatabase, WriterDatabase}, Does: "the network between two is gone",
		Embedded: "connections reset, dials refused; calls of the database fail", Deployment: "taken off the network", Simulator: "as if the store had died for that side alone"},
	{Kind: Cut, Targets: []string{VisitorGateway}, Does: "no visitor reaches the gateways",
		Embedded: "connections reset, dials refused", Deployment: "the edge is taken off their network", Simulator: "as outage: the edge is cut off too"},
	{Kind: Slow, Targets: []string{GatewayRedis, WriterRedis, GatewayDatabase, WriterDatabase, VisitorGateway}, Unit: Seconds, Min: 1e-6, Max: 10, Does: "a round trip between two takes longer",
		Embedded: "the link delays messages, with seeded jitter of up to a tenth; calls of the database wait", Deployment: "posted to every process, whose own link it is", Why: "its network has one delay: take slow-store"},

	{Kind: RedisEmpty, Does: "Redis is away and comes back without its memory",
		Embedded: "as said", Deployment: "kill -9, files removed, then start", Why: "its stock has no memory of its own to lose"},
	{Kind: RedisFull, Does: "Redis is at its memory limit",
		Embedded: "writing commands are answered OOM", Deployment: "its limit is lowered below what it holds", Simulator: "submits fail at once, the writer waits"},
	{Kind: DiskFull, Does: "the disk of the database is full",
		Embedded: "SQLite may not grow (max_page_count)", Deployment: "kept full by a file, and a checkpoint asked for, of which PostgreSQL dies; wants make up DISK=bounded", Simulator: "the writer waits"},
	{Kind: ConnectionsFull, Does: "the database takes no more connections",
		Embedded: "every call fails", Deployment: "closed to connections, those there are ended", Simulator: "the writer waits"},
	{Kind: ClockStep, Unit: Seconds, Min: -86400, Max: 86400, Does: "the wall clock jumps, and back at the end",
		Embedded: "for the backend and its Redis: what reads wall time reads the jump", Deployment: "posted to every process", Why: "virtual time does not jump"},
	{Kind: AckLost, Targets: []string{Redis, Database}, Unit: Share, Min: 1e-6, Max: 1, Does: "the answer of a call is lost after its work was done",
		Embedded: "that share of the calls, seeded", Deployment: "posted to every process", Why: "its answers cannot be lost"},
	{Kind: Poison, Unit: Messages, Min: 1, Max: 1e6, Does: "entries that nobody can read come into the queue",
		Embedded: "added to the stream at once", Deployment: "posted to one process", Why: "it has no dead letters"},
	{Kind: Duplicate, Unit: Entries, Min: 1, Max: 1e6, Does: "entries are delivered again after they were written",
		Embedded: "the writer's source repeats its last ones", Deployment: "posted to the writers", Why: "its entries are counted, not delivered"},
	{Kind: EdgeStale, Does: "the edge cannot revalidate and serves its copies",
		Embedded: "its fetches fail", Deployment: "posted to the gateways, which refuse the edge", Simulator: "its fetches fail"},
	{Kind: Outage, Does: "nobody is reached; then everybody comes back at once",
		Embedded: "visitors' connections reset, dials refused", Deployment: "the edge is taken off the network", Simulator: "requests fail at once, save that what is in hand is answered"},
}

// Kinds lists the kinds in the order of the table.
func Kinds() []string {
	var out []string
	for _, r := range Table {
		if !slices.Contains(out, r.Kind) {
			out = append(out, r.Kind)
		}
	}
	return out
}

// Targets lists what the kind may hit, every target there is for kind "", in the
// order of the table. None for a kind without targets, or an unknown one.
func Targets(kind string) []string {
	var out []string
	for _, r := range Table {
		if kind != "" && r.Kind != kind {
			continue
		}
		for _, t := range r.Targets {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// Find is the row of a kind and its target, or what is wrong with them.
func Find(kind, target string) (Row, error) {
	for _, r := range Table {
		if r.Kind == kind && (slices.Contains(r.Targets, target) || target == "" && len(r.Targets) == 0) {
			return r, nil
		}
	}
	switch targets := Targets(kind); {
	case !slices.Contains(Kinds(), kind):
		return Row{}, fmt.Errorf("fault %.40q: one of %s", kind, strings.Join(Kinds(), ", "))
	case len(targets) == 0:
		return Row{}, fmt.Errorf("fault %s: target %.40q: it has none, leave it out", kind, target)
	case target == "":
		return Row{}, fmt.Errorf("fault %s: target is missing: one of %s", kind, strings.Join(targets, ", "))
	default:
		return Row{}, fmt.Errorf("fault %s: target %.40q: one of %s", kind, target, strings.Join(targets, ", "))
	}
}

// Amount is the amount in force: the given one, or the default for 0. It fails on
// an amount outside the row's bounds.
func (r Row) Amount(given float64) (float64, error) {
	if given == 0 {
		given = r.Default
	}
	whole := r.Unit == Instances || r.Unit == Messages || r.Unit == Entries
	switch {
	case r.Unit == "":
		return 0, nil // it has no strength, whatever was given
	case given == 0:
		return 0, fmt.Errorf("fault %s: amount is missing: %s", r.Kind, r.bounds())
	case !(given >= r.Min && given <= r.Max) || whole && given != math.Trunc(given):
		return 0, fmt.Errorf("fault %s: amount %v: want %s", r.Kind, given, r.bounds())
	}
	return given, nil
}

// Amounts says which amounts the row takes, "" for none.
func (r Row) Amounts() string {
	switch {
	case r.Unit == "":
		return ""
	case r.Default != 0:
		return fmt.Sprintf("%s; %v when left out", r.bounds(), r.Default)
	}
	return r.bounds()
}

// bounds is the amount's range in words.
func (r Row) bounds() string {
	switch r.Unit {
	case Share:
		return "a share up to 100 %"
	case Seconds:
		if r.Min > 0 {
			return fmt.Sprintf("seconds, more than 0 and up to %v", r.Max)
		}
		return fmt.Sprintf("seconds, from %v to %v, not 0", r.Min, r.Max)
	}
	return fmt.Sprintf("a whole number of %s from %v to %v", r.Unit, r.Min, r.Max)
}

// Name is how a fault is written in one word: its kind, and its target after a colon.
func Name(kind, target string) string {
	if target == "" {
		return kind
	}
	return kind + ":" + target
}
