package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"spillway/reports/gate"
)

// What the command refuses to start with.
func TestConsoleRefuses(t *testing.T) {
	consoleBundle(t, "300")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		env  string
		args []string
		code int
		want string
	}{
		{"", []string{"--listen", "0.0.0.0:0"}, gate.ExitBadInput, "--anywhere"}, {"", []string{"--listen", ":0"}, gate.ExitBadInput, "other machines reach it"},
		{"", []string{"--listen", "[::]:0"}, gate.ExitBadInput, "--anywhere"}, {"", []string{"--listen", "example.org:0"}, gate.ExitBadInput, "--anywhere"},
		{"", []string{"--listen", "127.0.0.1"}, gate.ExitBadInput, "want HOST:PORT"}, {"too short", nil, gate.ExitBadInput, "want 16 or more"},
		{"", []string{"--clock", "15:00"}, gate.ExitBadInput, "--clock 15:00"}, {"", []string{"--day", "today"}, gate.ExitBadInput, "--day"},
		{"", []string{"--key", "none.pem"}, gate.ExitBadInput, "none.pem"}, {"", []string{"--dir", "."}, gate.ExitBadInput, "seal.json"},
		{"", []string{"--listen", taken.Addr().String()}, gate.ExitEnvironment, "in use"},
	} {
		t.Setenv(tokenEnv, c.env)
		code, out, errs := spillway(append([]string{"lottery", "console"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: %d, want %d with %q: %s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// The command serves the page, with the rehearsal's clock and the reports' look, and
// draws with the keys on its files.
func TestConsole(t *testing.T) {
	consoleBundle(t, "3000")
	url := consoleAt(t, "--clock", "2020-02-19T15:00:00+08:00")
	get := func(path string) string {
		t.Helper()
		r, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v: %s", path, r.StatusCode, err, b)
		}
		return string(b)
	}
	if s := get(""); !strings.Contains(s, "A REHEARSAL") || !strings.Contains(s, "The draw can be made") {
		t.Errorf("the page: %.2000s", s)
	}
	if s := get("console.css"); !strings.Contains(s, "--accent:") || !strings.Contains(s, ".steps") {
		t.Errorf("the style: %.200s", s)
	}
	value, err := os.ReadFile("value.json")
	if err != nil {
		t.Fatal(err)
	}
	act := func(name, more string) {
		t.Helper()
		r, err := http.NewRequest("POST", url+"do/"+name, strings.NewReader(fmt.Sprintf(`{"who":"Ada"%s}`, more)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+consoleToken)
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if text, _ := io.ReadAll(a.Body); a.StatusCode >= 300 {
			t.Fatalf("%s: %d: %s", name, a.StatusCode, text)
		}
	}
	act("draw", fmt.Sprintf(`,"beacon":%q`, value))
	for !strings.Contains(get("live"), `"state":"drawn"`) { // the test's own time limit ends it
		if s := get("live"); !strings.Contains(s, `"failed":""`) {
			t.Fatal(s)
		}
	}
	act("publish", "")
	if s := get("list/0.csv"); !strings.HasPrefix(s, "list,rank,entry") || !strings.Contains(s, "winner,1,") {
		t.Errorf("a list: %.200s", s)
	}
	if code, out, errs := spillway("lottery", "verify"); code != 0 {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

const consoleToken = "a token of the browser's test"

// consoleBundle makes a day up and seals it, in a new working folder.
func consoleBundle(t *testing.T, entries string) {
	t.Helper()
	lotteryFolder(t, entries)
	lotteryRun(t, 0, sealArgs...)
}

// consoleAt runs the command on a free port and returns the page's address.
func consoleAt(t *testing.T, more ...string) string {
	t.Helper()
	t.Setenv(tokenEnv, consoleToken)
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(&app{ctx, strings.NewReader(""), in, os.Stderr}, append([]string{"lottery", "console", "--key", "operator.pem", "--listen", "127.0.0.1:0"}, more...))
		ended <- err
		in.CloseWithError(io.EOF)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("%v: %v", err, <-ended)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "console"))
}
