package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/wire"
	"spillway/reference"
	"spillway/reference/queue"
)

// childEnv says what a child process of this test is: a backend, a person who
// discards or replays the first dead letter, or one who closes today's list.
const childEnv = "SPILLWAY_CRASHTEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Thousands of small worlds are built and dropped: a quarter of the time went into
	// collecting them.
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// child runs until its standard input ends, or until its crash point.
func child(role string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var c reference.Config
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	ctx := context.Background()
	if role == "close" {
		now := time.Duration(time.Now().UnixNano())
		return reference.CloseDay(ctx, reference.Ready{Redis: c.Redis, Database: c.Database}, c, c.Lottery.Day(now), 10*time.Second)
	}
	if role != "serve" {
		l, err := reference.OpenLetters(ctx, reference.Ready{Redis: c.Redis, Database: c.Database}, c)
		if err != nil {
			return err
		}
		ls, err := l.List(ctx, "", 1)
		if err == nil && len(ls) > 0 {
			if role == "discard" {
				err = l.Discard(ctx, ls[0].ID, "child", "test")
			} else {
				err = l.Replay(ctx, ls[0].ID, "child", "test")
			}
		}
		return errors.Join(err, l.Close())
	}
	s, err := reference.Open(ctx, c)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(s.Ready()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until the parent is done with us
	return s.Close(ctx)
}

// site is one place where backends are killed: a Redis that survives them, and a
// database file.
type site struct {
	t     *testing.T
	point string
	redis *redis.Client
	c     reference.Config
	told  map[string]booking.Outcome // by ticket, the last answer
	order []string
}

// backend is a child process that serves.
type backend struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ready reference.Ready
	died  chan struct{}
	err   error
}

func (s *site) start(role, crash string) *backend {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	b := &backend{cmd: exec.Command(exe), died: make(chan struct{})}
	b.cmd.Env = append(os.Environ(), childEnv+"="+role)
	var stderr bytes.Buffer
	b.cmd.Stderr = &stderr
	if b.stdin, err = b.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // it may be gone
		<-b.died
	})
	c := s.c
	c.Crash = crash
	line, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = b.stdin.Write(append(line, '\n')) // a child that is dead already is seen below
	readied := make(chan bool, 1)
	go func() {
		out := bufio.NewScanner(stdout)
		readied <- out.Scan() && json.Unmarshal(out.Bytes(), &b.ready) == nil
		_, _ = io.Copy(io.Discard, stdout)
		if b.err = b.cmd.Wait(); b.err != nil {
			b.err = fmt.Errorf("%w: %s", b.err, stderr.String())
		}
		close(b.died)
	}()
	<-readied
	return b
}

// alive reports whether the process runs; it waits a moment for one that is dying.
func (b *backend) alive() bool {
	select {
	case <-b.died:
		return false
	case <-time.After(10 * time.Millisecond):
		return true
	}
}

func (b *backend) killed() bool {
	<-b.died
	st, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && st.Signaled() && st.Signal() == syscall.SIGKILL
}

// submit presses once; a backend that dies meanwhile gives no answer.
func (s *site) submit(b *backend, user, item int) {
	path := wire.PathBookings
	if s.c.Mode == booking.ModeLottery {
		path = wire.PathEntries
	}
	req, err := http.NewRequest("POST", b.ready.URL+path, strings.NewReader(fmt.Sprintf(`{"item":%d}`, item)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(wire.HeaderUser, strconv.Itoa(user))
	req.Header.Set(wire.HeaderKey, fmt.Sprintf("key-%d", user))
	if ans, ok := s.call(req); ok && ans.Ticket != "" {
		s.note(ans)
	}
}

func (s *site) note(ans wire.Answer) {
	o, err := booking.ParseOutcome(ans.Outcome)
	if err != nil || o == booking.Unknown {
		return
	}
	if _, has := s.told[ans.Ticket]; !has {
		s.order = append(s.order, ans.Ticket)
	}
	s.told[ans.Ticket] = o
}

var web = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (s *site) call(req *http.Request) (ans wire.Answer, ok bool) {
	resp, err := web.Do(req)
	if err != nil {
		return ans, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return ans, err == nil && json.Unmarshal(body, &ans) == nil
}

func (s *site) poll(b *backend) {
	for _, t := range s.order {
		req, err := http.NewRequest("GET", b.ready.URL+wire.PathBookings+"/"+t, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if ans, ok := s.call(req); ok {
			ans.Ticket = t
			s.note(ans)
		}
	}
}

// key of the event's keys.
func key(name string) string { return "{" + event + "}:" + name }

// provoke brings about what leads to a point that does not come by itself.
func (s *site) provoke(step string) {
	ctx := context.Background()
	entry := func(user, item int) booking.Accepted {
		return booking.Accepted{Ticket: tickets().Of(booking.UserID(user), "by hand"), User: booking.UserID(user), Item: item}
	}
	enqueue := func(raw string) { s.redis.Do(ctx, "XADD", queue.StreamKey(event), "*", "e", raw) }
	switch step {
	case "stock.offer":
		s.redis.FlushAll(ctx)
	case "stock.readmit", "stock.withdraw": // the outbox of a gateway that comes late
		s.redis.HSet(ctx, key("offers"), entry(77, 0).Ticket.String(), "by-hand "+entry(77, 0).Encode())
	case "stock.refund": // a user who is booked already
		enqueue(entry(0, 0).Encode())
	case "queue.claim": // somebody read an entry and died
		enqueue(entry(0, 1).Encode())
		s.redis.Do(ctx, "XREADGROUP", "GROUP", "ledger", "gone", "COUNT", 1, "STREAMS", queue.StreamKey(event), ">")
	case "queue.bury":
		enqueue("no entry at all")
	case "ledger.rollback": // a ticket of one user under another's name
		a := entry(0, 0)
		for t := range s.told {
			a.Ticket, _ = booking.ParseTicket(t)
			a.User = 99
		}
		enqueue(a.Encode())
	case "letters.replay", "letters.discard":
		a := entry(88, 0)
		s.redis.HSet(ctx, key("users"), "88", a.Ticket.String()+":0")
		s.redis.HIncrBy(ctx, key("state"), "0", -1)
		s.redis.HIncrBy(ctx, key("state"), "total", -1)
		s.redis.HSet(ctx, key("results"), a.Ticket.String(), "pending")
		s.redis.Do(ctx, "XADD", key("dead"), "*", "entry", "1-1", "e", a.Encode(), "reason", "by hand", "attempts", 3, "at", 1)
	}
}

func newSite(t *testing.T, redisURL, database, point string) *site {
	s := &site{t: t, point: point, told: map[string]booking.Outcome{}}
	at, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	s.redis = redis.NewClient(at)
	s.c = reference.Config{Mode: booking.ModeQueued, Event: event, Redis: redisURL, Database: database,
		Seed: 1, Native: true,
		Admission: reference.AdmissionConfig{Gate: policy.GateOff, Probability: 1, Results: true},
		Gateway:   reference.GatewayConfig{Instances: 2, Room: 100},
		Stock:     reference.StockConfig{Items: []int{4, 3}, BatchMax: 4, Linger: time.Millisecond, Grace: 300 * time.Millisecond},
		Queue:     reference.QueueConfig{Depth: 50, Attempts: 2},
		Ledger:    reference.LedgerConfig{Every: 20 * time.Millisecond, Rate: 50}}
	return s
}

// killAt kills a backend at a point, puts another in its place, and proves that
// nothing was lost by it.
func killAt(t *testing.T, redisURL, database, point string) {
	if ofLottery(point) {
		killLotteryAt(t, redisURL, database, point)
		return
	}
	s := newSite(t, redisURL, database, point)
	defer s.redis.Close()
	step, _, _ := strings.Cut(strings.Replace(strings.Replace(point, ".before", " ", 1), ".after", " ", 1), " ")
	role, crash := "serve", point
	if strings.HasPrefix(step, "letters.") {
		role, crash = strings.TrimPrefix(step, "letters."), ""
	}
	c := s.c
	if step == "stock.offer" {
		// Offered again is what a gateway accepted and has not seen decided: the writer
		// must not be through with it before Redis is emptied.
		s.c.Ledger.Every = 5 * time.Second
	}
	b := s.start("serve", crash)
	s.c = c
	for round := 0; b.alive() && round < 3; round++ {
		for user := range 4 {
			s.submit(b, user, user%2)
		}
		if round == 0 && b.alive() {
			if step == "stock.offer" || role != "serve" {
				s.provoke(step)
			} else {
				s.settled(b)
				s.provoke(step)
			}
		}
	}
	if role == "serve" {
		for deadline := time.Now().Add(10 * time.Second); b.alive() && time.Now().Before(deadline); {
		}
		if b.alive() || !b.killed() {
			t.Fatalf("%s: the backend did not die there: %v", point, b.err)
		}
	} else {
		p := s.start(role, point)
		if !p.killed() {
			t.Fatalf("%s: the person did not die there: %v", point, p.err)
		}
		if p = s.start(role, ""); !p.quits() {
			t.Fatalf("%s: doing it again: %v", point, p.err)
		}
		b.stop()
	}
	b = s.start("serve", "")
	if !b.alive() {
		t.Fatalf("%s: the next backend does not come up: %v", point, b.err)
	}
	defer b.stop()
	for user := range 6 { // everybody asks again, and two more want what is left
		s.submit(b, user, user%2)
	}
	s.settled(b)
	ctx := context.Background()
	if role != "serve" || step == "ledger.rollback" { // a discard that was cut off; a letter under another's ticket
		if _, err := reference.Repair(ctx, b.ready, s.c, reference.Repairing{Apply: true, Who: "test"}); err != nil {
			t.Fatal(err)
		}
		s.settled(b)
	}
	s.poll(b)
	var given []reference.AcceptedTicket
	for _, text := range s.order {
		ticket, err := booking.ParseTicket(text)
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, reference.AcceptedTicket{Ticket: ticket, Told: s.told[text]})
		if s.told[text] != booking.Confirmed {
			t.Errorf("%s: ticket %s ends as %v", point, text, s.told[text])
		}
	}
	rep, err := reference.Reconcile(ctx, b.ready, s.c, reference.Reconciling{Accepted: given, Drained: true})
	if err != nil || !rep.OK() || len(given) != 6 {
		t.Errorf("%s: %d tickets, %v\n%v", point, len(given), err, rep)
	}
}

// killLotteryAt does the same to a lottery: a gateway dies at an edit or a withdrawal,
// or whoever closes a list while doing so.
func killLotteryAt(t *testing.T, redisURL, database, point string) {
	s := newSite(t, redisURL, database, point)
	defer s.redis.Close()
	s.c.Mode, s.c.Lottery = booking.ModeLottery, policy.DefaultLotteryRules()
	// It is noon, and edits are taken all day.
	day := 24 * time.Hour
	s.c.Lottery.Zone = (day/2 - time.Duration(time.Now().UnixNano())%day).Truncate(time.Millisecond)
	s.c.Lottery.EditFrom = 0
	closing := strings.HasPrefix(point, "stock.seal")
	crash := point
	if closing {
		crash = ""
	}
	b := s.start("serve", crash)
	const users = 3
	for user := range users {
		s.submit(b, user, 0)
	}
	s.settled(b)
	change := func(method, ticket, body string) (wire.Answer, bool) {
		req, err := http.NewRequest(method, b.ready.URL+wire.PathEntries+"/"+ticket, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return s.call(req)
	}
	changes := func() {
		for i, ticket := range s.order {
			if i == 0 {
				change("DELETE", ticket, "")
			} else {
				change("PUT", ticket, `{"item":1,"other":true}`)
			}
		}
	}
	if closing {
		p := s.start("close", point)
		if !p.killed() {
			t.Fatalf("%s: whoever closes did not die there: %v", point, p.err)
		}
		if p = s.start("close", ""); !p.quits() {
			t.Fatalf("%s: doing it again: %v", point, p.err)
		}
	} else if changes(); !b.killed() {
		t.Fatalf("%s: the backend did not die there: %v", point, b.err)
	}
	if !closing {
		b = s.start("serve", "")
	}
	if !b.alive() {
		t.Fatalf("%s: the next backend does not come up: %v", point, b.err)
	}
	defer b.stop()
	for range 2 { // everybody asks again
		changes()
		s.settled(b)
	}
	if len(s.order) != users {
		t.Fatalf("%s: %d entries", point, len(s.order))
	}
	for i, ticket := range s.order {
		a, ok := change("GET", ticket, "")
		switch e := a.Entry; {
		case !ok || e == nil:
			t.Errorf("%s: entry %d: %+v", point, i, a)
		case i == 0 && e.State != "withdrawn", i > 0 && (e.Item != 1 || !e.Other || e.Edited == 0 || e.State != "live"):
			t.Errorf("%s: entry %d ends as %+v", point, i, e)
		}
	}
	rep, err := reference.Reconcile(context.Background(), b.ready, s.c, reference.Reconciling{Drained: true})
	if err != nil || !rep.OK() || rep.Sold != users || rep.Refused != 0 {
		t.Errorf("%s: %v\n%v", point, err, rep)
	}
}

// settled waits until nothing is on its way.
func (s *site) settled(b *backend) {
	ctx := context.Background()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline) && b.alive(); {
		n, err := s.redis.XLen(ctx, queue.StreamKey(event)).Result()
		open, err2 := s.redis.HExists(ctx, key("state"), "open").Result()
		if err == nil && err2 == nil && n == 0 && open && s.redis.HLen(ctx, key("offers")).Val() == 0 {
			return
		}
	}
}

func (b *backend) quits() bool {
	_ = b.stdin.Close()
	<-b.died
	return b.err == nil
}

func (b *backend) stop() {
	_ = b.stdin.Close()
	<-b.died
}

// TestKilledProcesses ends real processes by SIGKILL at every crash point. Redis
// and the database file survive them.
func TestKilledProcesses(t *testing.T) {
	points := reference.CrashPoints()
	if testing.Short() {
		points = []string{"stock.take.after", "ledger.commit.after", "queue.ack.before"}
	}
	began := time.Now()
	var wg sync.WaitGroup
	busy := make(chan struct{}, 6) // they wait more than they work
	for _, point := range points {
		m := miniredis.RunT(t)
		dir := t.TempDir()
		wg.Go(func() {
			busy <- struct{}{}
			defer func() { <-busy }()
			t.Run(point, func(t *testing.T) {
				killAt(t, "redis://"+m.Addr()+"/0", "sqlite:"+filepath.Join(dir, "ledger.db"), point)
			})
		})
	}
	wg.Wait()
	t.Logf("%d kills in %v", len(points), time.Since(began).Round(time.Millisecond))
}
