package reference

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/wire"
	"spillway/reference/edge"
	"spillway/reference/gateway"
)

// Limits of the listeners against slow or greedy clients.
const (
	headerTimeout  = 5 * time.Second   // to send the whole header
	bodyTimeout    = 5 * time.Second   // to send a body
	idleTimeout    = 2 * time.Minute   // of a kept connection between requests
	writeTimeout   = 10 * time.Minute  // longer than any wait at a stage, shorter than for ever; once an answer begins, stallTimeout holds
	headerBytesMax = 8 << 10           // the contract's headers take under 500
	resultsPause   = 5 * time.Second   // advised when the result list is off and nothing else is set; its life in the original client
	anonymous      = booking.UserID(0) // user of a request that names none, for the key of its service time
)

// staticStep is the step of a path that the edge serves, 0 for others.
func staticStep(path string) booking.Step {
	switch {
	case path == wire.PathConfig:
		return booking.StepConfig
	case path == wire.PathCatalogue+"zh.json", path == wire.PathCatalogue+"en.json":
		return booking.StepCatalogue
	}
	return 0
}

// visitors is the handler of the visitors' part.
func (s *Stack) visitors(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == wire.PathStatus:
		if s.allow(w, r, http.MethodGet) {
			s.status(w, r)
		}
	case path == wire.PathBookings, path == wire.PathEntries:
		if s.allow(w, r, http.MethodPost) {
			s.submit(w, r, path == wire.PathEntries)
		}
	case strings.HasPrefix(path, wire.PathBookings+"/"):
		if s.allow(w, r, http.MethodGet) {
			s.poll(w, r, path[len(wire.PathBookings)+1:], false)
		}
	case strings.HasPrefix(path, wire.PathEntries+"/"):
		if s.allow(w, r, http.MethodGet, http.MethodPut, http.MethodDelete) {
			s.entry(w, r, path[len(wire.PathEntries)+1:])
		}
	case staticStep(path) != 0:
		if s.allow(w, r, http.MethodGet, http.MethodHead) {
			s.static(w, r, staticStep(path))
		}
	case path == wire.PathHealth:
		w.WriteHeader(http.StatusOK)
	case path == wire.PathReady:
		s.readyz(w, r)
	default:
		s.refuse(w, abusePath, http.StatusNotFound, "no such path")
	}
}

// allow refuses other methods.
func (s *Stack) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	s.refuse(w, abuseMethod, http.StatusMethodNotAllowed, "want "+strings.Join(methods, " or "))
	return false
}

// refuse answers a request that the contract does not know, with a status that
// says more than 400 would. It counts for no instance and no step.
func (s *Stack) refuse(w http.ResponseWriter, kind abuse, code int, message string) {
	s.abuses.add(kind)
	refuse(w, code, message)
}

// refuse answers in plain text.
func refuse(w http.ResponseWriter, code int, message string) {
	h := w.Header()
	h.Set(wire.HeaderOutcome, booking.Invalid.String())
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(message + "\n")) // the client may be gone
}

// visit is one request on its way through an instance.
type visit struct {
	request
	person   booking.UserID // who books, for stock and ledger; the user unless phones are
	step     booking.Step
	instance *gateway.Instance
	life     uint64        // of the instance
	arrived  time.Duration // process clock
	run      time.Duration // offset of the run
	deadline time.Duration // process clock; 0 = none
}

// begin picks the instance and reads the headers. ok is false when it has
// answered already.
func (s *Stack) begin(w http.ResponseWriter, r *http.Request, step booking.Step) (v visit, ok bool) {
	v.step, v.instance = step, s.pick()
	v.instance.Wait(r.Context())
	v.life, v.arrived = v.instance.Life(), s.clock.Now()
	v.run = s.run(v.arrived)
	var err error
	if v.request, err = decodeHeaders(r.Header); err != nil {
		s.abuses.add(abuseMalformed)
		s.reply(w, &v, booking.Invalid, &wire.Answer{Message: err.Error()})
		return v, false
	}
	if v.patient > 0 && s.config.Mode != booking.ModeLossless {
		v.deadline = v.arrived + v.patient
	}
	return v, true
}

// pick is the instance whose turn it is; lost ones are passed over.
func (s *Stack) pick() *gateway.Instance {
	n := uint64(len(s.instances))
	turn := s.turn.Add(1)
	for i := range n {
		in := s.instances[(turn+i)%n]
		if in.Up() {
			if i > 0 {
				s.failovers.Add(1)
			}
			return in
		}
	}
	return s.instances[turn%n] // a fault never takes the last one
}

// job is the visit as work for the station.
func (s *Stack) job(v *visit, units float64) gateway.Job {
	priority := s.lowest // a request that names nobody
	if v.named {
		priority = policy.Priority(s.config.Classes, policy.ClassOf(s.config.Classes, v.user), v.run-s.config.OpenAt)
	}
	return gateway.Job{Step: v.step, Units: units, Key: uint64(v.user), Attempt: v.attempt,
		Priority: priority, Deadline: v.deadline}
}

// answering counts a reply that is about to be written. An instance that stands still
// writes none until it goes on, and one that died meanwhile none at all: the
// connection is cut, whatever was done.
func (s *Stack) answering(v *visit, o booking.Outcome) {
	v.instance.Wait(s.work)
	if v.instance.Life() != v.life {
		panic(http.ErrAbortHandler)
	}
	v.instance.Count(v.step, o)
	s.latency[v.step].Observe((s.clock.Now() - v.arrived).Seconds())
}

// reply answers and counts. body may be nil; its outcome is filled in.
func (s *Stack) reply(w http.ResponseWriter, v *visit, o booking.Outcome, body *wire.Answer) {
	s.answering(v, o)
	retryAfter, noRetry := s.advice(o)
	if body == nil {
		body = &wire.Answer{}
	}
	if at := time.Duration(body.NotBefore) * time.Millisecond; at > 0 && !noRetry {
		retryAfter = max(retryAfter, at-s.clock.Now())
	}
	body.Outcome = o.String()
	wire.Reply(w, o, retryAfter, noRetry, body)
}

// advice is what a refusal tells about trying again.
func (s *Stack) advice(o booking.Outcome) (retryAfter time.Duration, noRetry bool) {
	switch o {
	case booking.Closed, booking.Duplicate, booking.OverBudget, booking.Off:
		return 0, true
	case booking.Busy, booking.Shed, booking.Limited, booking.Expired, booking.Degraded, booking.Unknown:
		return s.config.Gateway.RetryAfter, false
	}
	return 0, false
}

func (s *Stack) status(w http.ResponseWriter, r *http.Request) {
	v, ok := s.begin(w, r, booking.StepStatus)
	if !ok {
		return
	}
	pass, o := s.station.Enter(s.job(&v, s.config.Gateway.StatusUnits))
	if o != booking.OK {
		s.reply(w, &v, o, nil)
		return
	}
	state, err := s.mode.state(s.work, &v)
	s.station.Leave(pass)
	if err != nil {
		s.failed(err)
		s.reply(w, &v, booking.Unknown, nil)
		return
	}
	o = state.Outcome()
	s.answering(&v, o)
	_, noRetry := s.advice(o)
	wire.Reply(w, o, 0, noRetry, statusBodies[state])
}

// statusBodies are the answers to a status call.
var statusBodies = map[booking.State]wire.Status{
	booking.StateWait:     {State: booking.StateWait.String()},
	booking.StatePreorder: {State: booking.StatePreorder.String()},
	booking.StateFinish:   {State: booking.StateFinish.String()},
}

func (s *Stack) submit(w http.ResponseWriter, r *http.Request, entry bool) {
	v, ok := s.begin(w, r, booking.StepSubmit)
	if !ok {
		return
	}
	invalid := func(message string) { s.reply(w, &v, booking.Invalid, &wire.Answer{Message: message}) }
	malformed := func(message string) {
		s.abuses.add(abuseMalformed)
		invalid(message)
	}
	switch {
	case entry != (s.config.Mode == booking.ModeLottery):
		malformed("path: mode " + s.config.Mode.String() + " takes no submit here")
		return
	case !v.named:
		malformed(wire.HeaderUser + ": missing")
		return
	case v.key == "":
		malformed(wire.HeaderKey + ": missing")
		return
	}
	body, err := s.abuses.body(w, r)
	if err != nil {
		invalid(err.Error())
		return
	}
	in, err := decodeSubmit(body, len(s.config.Stock.Items))
	if err != nil {
		malformed(err.Error())
		return
	}
	v.person = v.user
	if s.config.Phones || in.Phone != "" {
		if err := s.identify(&v, &in); err != nil {
			malformed(err.Error())
			return
		}
	}
	if o := s.admission.Check(v.user, in.Epoch, v.run); o != booking.OK {
		s.abuses.add(abuseCoin)
		s.reply(w, &v, o, nil)
		return
	}
	pass, o := s.station.Enter(s.job(&v, s.config.Gateway.SubmitUnits))
	if o != booking.OK {
		s.reply(w, &v, o, nil)
		return
	}
	answer, err := s.mode.submit(s.work, &v, in)
	s.station.Leave(pass)
	if err != nil {
		s.failed(err)
	}
	if answer.outcome == booking.Queued || answer.outcome == booking.Confirmed {
		s.reply(w, &v, answer.outcome, &wire.Answer{Ticket: answer.ticket.String(), WaitedMicros: answer.waited.Microseconds()})
		return
	}
	if answer.outcome == booking.Invalid { // the form was right, so the key is another's
		s.abuses.add(abuseKey)
	}
	s.reply(w, &v, answer.outcome, &wire.Answer{Message: answer.why, NotBefore: answer.from.Milliseconds()})
}

// identify makes a phone number the person who books. It goes no further than
// here. A deployment that goes by numbers takes no submit without one, and one
// that does not takes none: who may choose would be two persons.
func (s *Stack) identify(v *visit, in *wire.Submit) error {
	if !s.config.Phones {
		return errors.New("phone: this backend goes by users, not by phone numbers")
	}
	number, err := normalPhone(in.Phone)
	if err != nil {
		return err
	}
	p := people{[]byte(s.config.Secret)}
	v.person, v.key, in.Phone = p.person(number), p.key(v.user, v.key), ""
	return nil
}

// result is what a mode says to a submit or a poll.
type result struct {
	outcome booking.Outcome
	ticket  booking.Ticket
	waited  time.Duration // accepted to written, once confirmed
	why     string        // in words, of a refusal of the lottery's
	from    time.Duration // when it may be granted, Unix time; 0 = not said
}

// ticket reads the ticket of a path. ok is false when it has answered already.
func (s *Stack) ticket(w http.ResponseWriter, v *visit, name string) (t booking.Ticket, ok bool) {
	t, err := booking.ParseTicket(name)
	if err != nil {
		s.abuses.add(abuseMalformed)
		s.reply(w, v, booking.Invalid, &wire.Answer{Message: "ticket: want 32 lower-case hex digits"})
		return t, false
	}
	// Without a secret a restart makes other tickets, and old ones are still good.
	if s.config.Secret != "" && !s.tickets.Made(t) {
		s.abuses.add(abuseTicket)
		s.reply(w, v, booking.Unknown, &wire.Answer{Ticket: name})
		return t, false
	}
	return t, true
}

// poll answers what became of a ticket, and with whole set tells the lottery entry.
func (s *Stack) poll(w http.ResponseWriter, r *http.Request, name string, whole bool) {
	v, ok := s.begin(w, r, booking.StepPoll)
	if !ok {
		return
	}
	ticket, ok := s.ticket(w, &v, name)
	if !ok {
		return
	}
	o := booking.Degraded
	var pass gateway.Pass
	if s.admission.Results() {
		pass, o = s.station.Enter(s.job(&v, s.config.Gateway.PollUnits))
	}
	if o != booking.OK {
		if o == booking.Degraded && s.config.Gateway.RetryAfter <= 0 {
			s.answering(&v, o)
			wire.Reply(w, o, resultsPause, false, &wire.Answer{Outcome: o.String()})
			return
		}
		s.reply(w, &v, o, nil)
		return
	}
	var answer result
	var entry *wire.Entry
	var err error
	if whole {
		answer, entry, err = s.look(s.work, ticket)
	} else {
		answer, err = s.mode.poll(s.work, ticket)
	}
	s.station.Leave(pass)
	if err != nil {
		s.failed(err)
		s.reply(w, &v, booking.Unknown, nil)
		return
	}
	if answer.outcome == booking.Unknown {
		s.abuses.add(abuseTicket)
	}
	s.reply(w, &v, answer.outcome, &wire.Answer{Ticket: name, WaitedMicros: answer.waited.Microseconds(), Entry: entry})
}

// static answers config and catalogue: from the edge, or without one from the
// gateways, a unit each.
func (s *Stack) static(w http.ResponseWriter, r *http.Request, step booking.Step) {
	if s.edge != nil {
		s.edge.ServeHTTP(w, r)
		return
	}
	v, ok := s.begin(w, r, step)
	if !ok {
		return
	}
	job := s.job(&v, 1)
	if !v.named {
		job.Priority = 1 // static files are not served by class
	}
	if s.on("edge") { // a proxy before this gateway has missed
		if s.faults.stale.Load() {
			s.reply(w, &v, booking.Unknown, nil)
			return
		}
		job.Units, job.Exempt = s.config.Edge.OriginUnits, true
	}
	pass, o := s.station.Enter(job)
	if o != booking.OK {
		s.reply(w, &v, o, nil)
		return
	}
	object, err := s.object(r.URL.Path)
	s.station.Leave(pass)
	if err != nil {
		s.reply(w, &v, booking.Invalid, nil)
		return
	}
	s.answering(&v, booking.OK)
	edge.Write(w, r, object)
}

// misses are the gateways as the edge sees them.
type misses struct{ s *Stack }

// Fetch implements edge.Origin: a miss costs gateway work.
func (o misses) Fetch(_ context.Context, path string) (edge.Object, error) {
	s := o.s
	if s.faults.stale.Load() {
		return edge.Object{}, errStale
	}
	job := gateway.Job{Step: staticStep(path), Units: s.config.Edge.OriginUnits, Key: s.turn.Load(), Priority: 1, Exempt: true}
	if job.Units > 0 {
		pass, out := s.station.Enter(job)
		if out != booking.OK {
			return edge.Object{}, &edge.Refusal{Outcome: out, RetryAfter: s.config.Gateway.RetryAfter}
		}
		defer s.station.Leave(pass)
	}
	return s.object(path)
}

// object is a static file as it stands now.
func (s *Stack) object(path string) (edge.Object, error) {
	switch path {
	case wire.PathConfig:
		_, body := s.admission.Config()
		return edge.Object{Body: body, ETag: edge.Tag(body), Life: s.config.Edge.ConfigLife, ClientLife: s.config.Edge.ClientLife}, nil
	case wire.PathCatalogue + "zh.json":
		return s.catalogues[0], nil
	case wire.PathCatalogue + "en.json":
		return s.catalogues[1], nil
	}
	return edge.Object{}, edge.NotFound
}

// instant is a moment of the wall clock from now, as deadlines of connections
// want it.
func instant(d time.Duration) time.Time { return clock.NewWall().Origin().Add(d) }
