package reference

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"spillway/internal/wire"
)

// drainLongest bounds a drain; drainLook is how often it looks.
const (
	drainLongest = 10 * time.Minute
	drainLook    = 20 * time.Millisecond
)

// adminHandler is the admin part: calls under /admin/ want the token, metrics and
// health do not.
func (s *Stack) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathAdminStart, s.guard(s.adminStart))
	mux.HandleFunc("POST "+wire.PathAdminConfig, s.guard(s.adminConfig))
	mux.HandleFunc("POST "+wire.PathAdminFaults, s.guard(s.adminFaults))
	mux.HandleFunc("POST "+wire.PathAdminCheck, s.guard(s.adminCheck))
	mux.HandleFunc("GET "+wire.PathAdminSamples, s.guard(s.adminSamples))
	mux.HandleFunc("POST "+wire.PathAdminDrain, s.guard(s.adminDrain))
	mux.HandleFunc("/admin/", s.guard(func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, abusePath, http.StatusNotFound, "no such admin call")
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, abusePath, http.StatusNotFound, "no such path")
	})
	mux.Handle("GET "+wire.PathMetrics, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorLog: silence}))
	mux.HandleFunc("GET "+wire.PathHealth, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+wire.PathReady, s.readyz)
	return mux
}

// guard lets a call pass that carries the token. The digests are compared in
// constant time, so neither content nor length of the token shows.
func (s *Stack) guard(next http.HandlerFunc) http.HandlerFunc {
	return guard(s.config.AdminToken, next, func() { s.abuses.add(abuseToken) })
}

// guard tells wrong of each call that it refuses.
func guard(token string, next http.HandlerFunc, wrong func()) http.HandlerFunc {
	want := sha256.Sum256([]byte(token))
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !bearer {
			w.Header().Set("WWW-Authenticate", "Bearer")
			wrong()
			refuse(w, http.StatusUnauthorized, "the admin token is missing or wrong")
			return
		}
		next(w, r)
	}
}

// adminBody decodes the body of an admin call, or answers what is wrong with it.
func (s *Stack) adminBody(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := s.abuses.body(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return false
	}
	if err := strict(body, into); err != nil {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func (s *Stack) adminStart(w http.ResponseWriter, r *http.Request) {
	var in wire.Start
	if !s.adminBody(w, r, &in) {
		return
	}
	// A day off is a mistake in the unit, not a run.
	if away := s.wall().UnixNano() - in.UnixNano; away > int64(24*time.Hour) || away < -int64(24*time.Hour) {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, "unix_nano: want a moment within 24h, in nanoseconds")
		return
	}
	s.start(in.UnixNano)
	if s.board != nil {
		s.note(s.board.start(r.Context(), in))
	}
	w.WriteHeader(http.StatusNoContent)
}

// note keeps an error that does not change the answer.
func (s *Stack) note(err error) {
	if err != nil {
		s.failed(err)
	}
}

func (s *Stack) adminConfig(w http.ResponseWriter, r *http.Request) {
	var in wire.Change
	if !s.adminBody(w, r, &in) {
		return
	}
	if err := s.apply(in); err != nil {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, err.Error())
		return
	}
	if s.board != nil {
		s.note(s.board.change(r.Context(), in))
	}
	w.WriteHeader(http.StatusNoContent)
}

// apply changes the runtime config from now on.
func (s *Stack) apply(in wire.Change) error {
	if err := s.admission.Change(s.run(s.clock.Now()), in); err != nil {
		return err
	}
	if in.Kill != nil {
		s.station.Kill(*in.Kill)
	}
	return nil
}

func (s *Stack) adminFaults(w http.ResponseWriter, r *http.Request) {
	var in wire.Fault
	if !s.adminBody(w, r, &in) {
		return
	}
	if err := s.faults.begin(in); err != nil {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Stack) adminCheck(w http.ResponseWriter, r *http.Request) {
	var in wire.Fault
	if !s.adminBody(w, r, &in) {
		return
	}
	if _, err := s.faults.check(in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Stack) adminSamples(w http.ResponseWriter, r *http.Request) {
	after, err := since(r)
	if err != nil {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, err.Error())
		return
	}
	answerJSON(w, s.watch.since(after))
}

// since is the offset after which samples are asked for.
func since(r *http.Request) (time.Duration, error) {
	q := r.URL.Query().Get("since")
	if q == "" {
		return -1 << 62, nil
	}
	n, err := strconv.ParseInt(q, 10, 64)
	if err != nil {
		return 0, errors.New("since: want nanoseconds")
	}
	return time.Duration(n), nil
}

// drainWithin is how long a drain may take.
func drainWithin(r *http.Request) (time.Duration, error) {
	q := r.URL.Query().Get("within")
	if q == "" {
		return 10 * time.Second, nil
	}
	d, err := time.ParseDuration(q)
	if err != nil || d < 0 || d > drainLongest {
		return 0, errors.New("within: want a duration like 5s, at most " + drainLongest.String())
	}
	return d, nil
}

func (s *Stack) adminDrain(w http.ResponseWriter, r *http.Request) {
	within, err := drainWithin(r)
	if err != nil {
		s.refuse(w, abuseMalformed, http.StatusBadRequest, err.Error())
		return
	}
	out, err := s.drained(r.Context(), s.clock.Now()+within)
	if err != nil {
		s.failed(err)
		refuse(w, http.StatusServiceUnavailable, "the store does not answer; try again")
		return
	}
	answerJSON(w, out)
}

// drained waits until the queue is empty or the moment has come. The writer keeps
// its rate: a drain shows what is left, it does not hurry.
func (s *Stack) drained(ctx context.Context, until time.Duration) (wire.Drained, error) {
	for {
		var out wire.Drained
		var err error
		if s.queue != nil {
			if out.Depth, err = s.queue.Depth(ctx); err != nil {
				return out, err
			}
			if out.Dead, err = s.queue.DeadCount(ctx); err != nil {
				return out, err
			}
		}
		if out.Depth == 0 || s.clock.Now() >= until {
			return out, nil
		}
		if !pause(ctx, s.clock, drainLook) {
			return out, nil
		}
	}
}

// readyz answers 200 while the backend accepts and its store answered lately.
func (s *Stack) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.accepting.Load() {
		refuse(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	if !s.watch.sees() {
		refuse(w, http.StatusServiceUnavailable, "the store does not answer, or has no sale")
		return
	}
	w.WriteHeader(http.StatusOK)
}

func answerJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil { // this package's own types, no NaN in them: cannot fail
		refuse(w, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client may be gone
}
