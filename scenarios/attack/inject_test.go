package attack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/wire"
	"spillway/scenarios"
)

// What Inject handles is not posted; what neither can do is refused before the run.
func TestInject(t *testing.T) {
	var posted []string
	adm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == wire.PathAdminCheck && strings.Contains(string(body), "disk-full"):
			http.Error(w, "fault disk-full: \x1bno disk\nmore", http.StatusBadRequest)
		case r.URL.Path == wire.PathAdminFaults || r.URL.Path == wire.PathAdminCheck:
			posted = append(posted, r.URL.Path+" "+string(body))
		case r.URL.Path == wire.PathAdminSamples:
			_, _ = w.Write([]byte(`{"now_ns":0}`))
		}
	}))
	defer adm.Close()
	srv := httptest.NewServer(newTown(t))
	defer srv.Close()
	sc := small(t, time.Second, func(s *scenarios.Spec) {
		s.Faults = []scenarios.Fault{{At: s.Window.From + time.Second, Kind: "kill", Target: "redis", For: 2 * time.Second},
			{At: s.Window.From + 2*time.Second, Kind: "poison", Amount: 1, For: time.Second}}
	})
	var asked []wire.Fault
	opt := Options{Target: srv.URL, Admin: &Admin{adm.URL, "token"}, Inject: func(_ context.Context, f wire.Fault) (bool, error) {
		asked = append(asked, f)
		return f.Kind == "kill", nil
	}}
	if _, err := Run(context.Background(), sc, opt); err != nil {
		t.Fatal(err)
	}
	kill, poison := wire.Fault{Kind: "kill", Target: "redis"}, wire.Fault{Kind: "poison", Amount: 1}
	want := []wire.Fault{kill, poison}
	kill.For, poison.For = 500*time.Millisecond, 250*time.Millisecond
	if want = append(want, kill, poison); !slices.Equal(asked, want) {
		t.Errorf("asked\n%v, want\n%v", asked, want)
	}
	text := `{"kind":"poison","for_ns":250000000,"amount":1}`
	if want := []string{wire.PathAdminCheck + " " + text, wire.PathAdminFaults + " " + text}; !slices.Equal(posted, want) {
		t.Errorf("posted %q, want %q", posted, want)
	}

	sc.Full.Faults[1].Kind = "disk-full"
	if _, err := Run(context.Background(), sc, opt); !errors.Is(err, ErrInput) || !strings.HasSuffix(err.Error(), "fault disk-full at 500ms: the target refuses it: fault disk-full: no disk") {
		t.Errorf("a fault that nobody can do: %v", err)
	}
	opt.Inject = func(context.Context, wire.Fault) (bool, error) { return false, errors.New("no engine") }
	if _, err := Run(context.Background(), sc, opt); !errors.Is(err, ErrInput) || !strings.HasSuffix(err.Error(), "fault kill:redis at 250ms: no engine") {
		t.Errorf("a fault that Inject refuses: %v", err)
	}
}
