package console

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
)

var china = time.FixedZone("", 8*3600)

func at(day, hour, minute int) time.Time { return time.Date(2020, 2, day, hour, minute, 0, 0, china) }

const token = "a-token-for-the-tests"

var (
	secret   = lottery.Secret(sha256.Sum256([]byte("secret")))
	operator = keyOf("operator")
)

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func idOf(i int) lottery.ID {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return lottery.ID(h[:lottery.IDBytes])
}

// reading is what the beacon published.
var reading = func() string {
	v := beacon.Value{Kind: beacon.KindCeremony, Ceremony: &beacon.Reading{Witnesses: []string{"Li", "Chen"}}}
	for i := range 60 {
		v.Ceremony.Values = append(v.Ceremony.Values, int64(1+i*i%6))
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}()

// nasty is a shop's name that a page must not take for its own.
const nasty = `<script>alert(1)</script>"'&`

// seal puts a small sealed day into a folder.
func seal(t testing.TB, dir string, rehearsal bool) {
	t.Helper()
	files, err := days[rehearsal]()
	if err == nil {
		err = os.Mkdir(dir+".partial", 0o755)
	}
	for name, data := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir+".partial", name), data, 0o600)
		}
	}
	if err == nil {
		err = os.Rename(dir+".partial", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// days are the files of a sealed day, a rehearsal or not, made once.
var days = map[bool]func() (map[string][]byte, error){
	false: sync.OnceValues(func() (map[string][]byte, error) { return makeSeal(false) }),
	true:  sync.OnceValues(func() (map[string][]byte, error) { return makeSeal(true) }),
}

func makeSeal(rehearsal bool) (map[string][]byte, error) {
	tmp, err := os.MkdirTemp("", "console-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "bundle")
	lines := []lottery.Line{{Area: "West", Shop: "One", Type: "ordinary", Masks: 10, Stock: 40, Quota: 40}, {Area: "West", Shop: "One", Type: "N95", Masks: 5, Stock: 90, Quota: 90},
		{Area: "East", Shop: nasty, Type: "ordinary", Masks: 10, Stock: 30, Quota: 25}}
	b, err := lottery.MakeSeal(context.Background(), lottery.SealOptions{Dir: dir, Rules: "one each\n", Secret: secret, Key: operator, Now: at(18, 22, 5), Who: "ada",
		Seal: lottery.Seal{Draw: "masks", Day: "2020-02-19", Cutoff: at(18, 22, 0), Oldest: at(9, 22, 0), DrawAt: at(19, 15, 0), WaitDays: 10, Rehearsal: rehearsal, Lines: lines,
			Beacon: beacon.Source{Kind: beacon.KindCeremony, Ceremony: &beacon.Ceremony{What: "60 dice", By: "the notary", Where: "the hall", At: at(19, 15, 0),
				Form: beacon.Form{Count: 60, Min: 1, Max: 6}, Witnesses: 2}},
			Parties: []lottery.Party{{Name: "operator", Key: lottery.KeyOf(operator)}, {Name: "notary", Key: lottery.KeyOf(keyOf("notary"))}}},
		Entries: func(take func(lottery.Entry) error) error {
			for i := range 1000 {
				line := 0
				switch {
				case i%10 == 0:
					line = 1 // 100, of which 90 win
				case i%2 == 0:
					line = 2
				}
				if i%50 == 0 {
					line = 0 // so that N95 has 80 entries for 90, and a second round
				}
				if err := take(lottery.Entry{ID: idOf(i), Line: line, Other: i%3 == 0, Entered: at(15, 12, 0).UnixMilli()}); err != nil {
					return err
				}
			}
			return nil
		}})
	if err == nil {
		err = b.Close()
	}
	files := map[string][]byte{}
	there, e := os.ReadDir(dir)
	for _, f := range there {
		data, e := os.ReadFile(filepath.Join(dir, f.Name()))
		files[f.Name()], err = data, errors.Join(err, e)
	}
	return files, errors.Join(err, e)
}

// desk is a console over a sealed day, with a clock that stands.
type desk struct {
	*Console
	t   testing.TB
	dir string
	h   http.Handler

	mu   sync.Mutex
	time time.Time
}

func (d *desk) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time = t
}

func (d *desk) wall() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.time
}

// options are those of a console that may do everything.
func (d *desk) options() Options {
	return Options{Dir: d.dir, Now: d.wall, Token: token, Style: "body { color: red; }",
		Keys: func() (ed25519.PrivateKey, lottery.Secret, error) { return operator, secret, nil },
		List: func(w io.Writer, l lottery.ShopList) error {
			c := csv.NewWriter(w)
			for _, r := range l.Rows {
				_ = c.Write([]string{r.ID.String()})
			}
			c.Flush()
			return c.Error()
		},
		FileName: func(l lottery.ShopList) string { return l.Area }}
}

func newDesk(t testing.TB, change func(*Options)) *desk {
	t.Helper()
	d := &desk{t: t, dir: filepath.Join(t.TempDir(), "bundle"), time: at(19, 14, 59)}
	seal(t, d.dir, false)
	d.start(change)
	return d
}

func (d *desk) start(change func(*Options)) {
	d.t.Helper()
	o := d.options()
	if change != nil {
		change(&o)
	}
	var err error
	if d.Console, err = New(o); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := d.Close(); err != nil {
			d.t.Error(err)
		}
	})
	d.h = d.Handler()
}

// ask sends a request; auth is the whole header, "" = none.
func (d *desk) ask(method, path, auth, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	return w
}

func (d *desk) get(path string) string { return d.ask("GET", path, "", "").Body.String() }
func (d *desk) admin(path string) string {
	return d.ask("GET", path, "Bearer "+token, "").Body.String()
}

// act does an action as Ada and holds the answer's code against the wanted one.
func (d *desk) act(name string, more map[string]any, want int) string {
	d.t.Helper()
	body := map[string]any{"who": "Ada"}
	maps.Copy(body, more)
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	w := d.ask("POST", "/do/"+name, "Bearer "+token, string(text))
	if w.Code != want {
		d.t.Errorf("%s %v: %d, want %d: %s", name, more, w.Code, want, w.Body)
	}
	return w.Body.String()
}

func (d *desk) draw() {
	d.t.Helper()
	d.set(at(19, 15, 1))
	d.act("draw", map[string]any{"beacon": reading}, http.StatusAccepted)
	d.work.Wait()
}

func (d *desk) state() string {
	d.t.Helper()
	var l struct{ State string }
	if err := json.Unmarshal([]byte(d.get("/live")), &l); err != nil {
		d.t.Fatal(err)
	}
	return l.State
}

// log is the bundle's audit log in short: who, what, detail.
func (d *desk) log() (lines []string) {
	d.t.Helper()
	actions, _, err := lottery.OpenAudit(filepath.Join(d.dir, lottery.FileAudit)).Read()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, a := range actions {
		lines = append(lines, a.Who+" | "+a.What+" | "+a.Detail)
	}
	return lines
}

func wantAll(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in %d bytes: %.200s", p, len(text), text)
		}
	}
}

func wantNone(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%s has %q", what, p)
		}
	}
}

// hexIn is a digest as the page groups it.
func hexIn(h fmt.Stringer) string {
	var b strings.Builder
	for s := h.String(); s != ""; s = s[8:] {
		b.WriteString("<span>" + s[:8] + "</span>")
	}
	return b.String()
}

// A day on the console, each step with what it refuses, what the public sees, and its
// line in the log.
func TestDay(t *testing.T) {
	d := newDesk(t, nil)
	b, err := lottery.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	page := d.get("/")
	wantAll(t, page, hexIn(b.Seal.Root), hexIn(b.Digest()), "1,000", `aria-current="step">sealed`, "60 dice", "until the beacon’s value can be known", ">not yet<", "155")
	if got := d.state(); got != "sealed" {
		t.Errorf("state %q", got)
	}
	wantAll(t, d.act("draw", map[string]any{"beacon": reading}, http.StatusConflict), "the draw is at 2020-02-19 15:00:00")
	d.act("publish", nil, http.StatusConflict)
	d.act("export", nil, http.StatusConflict)
	if err := b.Sign("notary", keyOf("notary"), at(19, 14, 59)); err != nil { // elsewhere, by another program
		t.Fatal(err)
	}
	wantNone(t, "the page", d.get("/"), ">not yet<")

	d.set(at(19, 15, 0))
	if got := d.state(); got != "beacon known" {
		t.Errorf("state %q", got)
	}
	wantAll(t, d.act("draw", map[string]any{"beacon": `{"kind":"ceremony"}`}, http.StatusUnprocessableEntity), "field ceremony is missing")
	wantAll(t, d.act("draw", map[string]any{"beacon": strings.Replace(reading, `"Li",`, "", 1)}, http.StatusUnprocessableEntity), "1 witnesses: the seal wants 2")
	d.act("draw", map[string]any{"beacon": ""}, http.StatusUnprocessableEntity)
	d.draw()
	if got := d.state(); got != "drawn" {
		t.Fatalf("state %q: %s", got, d.get("/live"))
	}
	wantAll(t, d.act("draw", map[string]any{"beacon": reading}, http.StatusConflict), "no draw is made twice")

	// What the public must not see yet, and the operator does.
	drawn, err := b.Drawn()
	if err != nil {
		t.Fatal(err)
	}
	lists, err := b.Lists()
	if err != nil {
		t.Fatal(err)
	}
	winner := lists[0].Rows[0].ID
	hidden := []string{drawn.Seed.String()[:8], lottery.Hash(drawn.Secret).String()[:8], winner.String(), drawn.Pools[0].Cutoff.String()[:8], `id="winners"`}
	wantNone(t, "the public page", d.get("/?shop=0"), hidden...)
	wantAll(t, d.get("/"), hexIn(d.view.Draw), "shown when it is published")
	wantAll(t, d.admin("/?shop=0"), hidden...)
	for _, f := range []string{"draw.json", "draw.sig", "winners.csv", "reserve.csv", "audit.jsonl"} {
		if w := d.ask("GET", "/bundle/"+f, "", ""); w.Code != http.StatusForbidden {
			t.Errorf("%s for the public: %d", f, w.Code)
		}
		if w := d.ask("GET", "/bundle/"+f, "Bearer "+token, ""); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s for the operator: %d", f, w.Code)
		}
	}
	if w := d.ask("GET", "/list/0.csv", "", ""); w.Code != http.StatusForbidden {
		t.Errorf("a list for the public: %d", w.Code)
	}
	for auth, want := range map[string]bool{"": false, "Bearer " + token: true} {
		p, err := lottery.ParseProof(d.ask("GET", "/proof/"+winner.String()+".json", auth, "").Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if f, err := p.Check(nil); err != nil || !f.In || (f.Drawn != nil) != want {
			t.Errorf("proof with %q: %v, drawn %v", auth, err, f.Drawn != nil)
		}
	}
	wantAll(t, d.get("/?entry="+winner.String()), "IN THE LIST · the result comes with the publication")

	wantAll(t, d.act("export", map[string]any{"shop": 0}, http.StatusOK), winner.String())
	d.act("export", map[string]any{"shop": 2}, http.StatusNotFound)
	d.act("export", map[string]any{"shop": -1}, http.StatusNotFound)
	all := d.act("export", nil, http.StatusOK)
	z, err := zip.NewReader(strings.NewReader(all), int64(len(all)))
	if err != nil || len(z.File) != len(lists) {
		t.Errorf("the zip: %v, %d files", err, len(z.File))
	}

	d.set(at(19, 18, 0))
	d.act("publish", nil, http.StatusOK)
	wantAll(t, d.act("publish", nil, http.StatusConflict), "it is published since 2020-02-19 18:00:00")
	if got := d.state(); got != "published" {
		t.Errorf("state %q", got)
	}
	wantAll(t, d.get("/?shop=0"), hidden...)
	wantAll(t, d.get("/"), "The second round", "/list/1.csv")
	wantAll(t, d.get("/?entry="+winner.String()), ">WON<")
	wantAll(t, d.get("/?entry="+idOf(5000).String()), "NOT IN THE LIST")
	wantAll(t, d.get("/list/0.csv"), winner.String())
	wantAll(t, d.get("/bundle/winners.csv"), winner.String())

	wantLog := []string{"ada | seal | ", "Ada | refuse | draw: it is 2020-02-19 14:59:00 +08:00: the draw is at", "Ada | refuse | publish: nothing is drawn yet",
		"Ada | refuse | export: nothing is drawn yet", "notary | sign | ", "Ada | refuse | draw: beacon: value: kind ceremony", "Ada | refuse | draw: beacon: value: ceremony: 1 witnesses",
		"Ada | refuse | draw: beacon: value: JSON", "Ada | draw | ", "Ada | refuse | draw: it is drawn already", "Ada | export | One", "Ada | refuse | export: no pharmacy 2",
		"Ada | refuse | export: no pharmacy -1", "Ada | export | all 2 pharmacies", "Ada | publish | ", "Ada | refuse | publish: it is published"}
	got := d.log()
	if len(got) != len(wantLog) {
		t.Errorf("%d lines in the log, want %d:\n%s", len(got), len(wantLog), strings.Join(got, "\n"))
	}
	for i, want := range wantLog {
		if i < len(got) && !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d of the log is %q, want %q", i+1, got[i], want)
		}
	}
	if _, err := lottery.Verify(context.Background(), d.dir, lottery.VerifyOptions{}); err != nil {
		t.Error(err)
	}
	// A second console knows it from the bundle alone.
	other := &desk{t: t, dir: d.dir, time: at(19, 18, 5)}
	other.start(nil)
	if got := other.state(); got != "published" {
		t.Errorf("a second console: %q", got)
	}
}

// Who has no token acts in nothing, is told nothing, and is in the log.
func TestToken(t *testing.T) {
	d := newDesk(t, nil)
	d.set(at(19, 15, 1))
	body := fmt.Sprintf(`{"who":"Eve","beacon":%q}`, reading)
	wrong := []string{"", "Bearer ", "Bearer wrong", "Bearer " + token[1:], "Bearer " + token + "x", "bearer " + token, "Basic " + token, token, "Bearer  " + token}
	for _, auth := range wrong {
		for _, action := range []string{"draw", "publish", "export"} {
			before := len(d.log())
			d.refused.spent = 0
			w := d.ask("POST", "/do/"+action, auth, body)
			if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s with %q: %d", action, auth, w.Code)
			}
			want := `unknown, says "Eve" | refuse | ` + action + ": wrong token"
			if auth == "" {
				want = `unknown, says "Eve" | refuse | ` + action + ": no token"
			}
			if lines := d.log(); len(lines) != before+1 || lines[before] != want {
				t.Errorf("%s with %q: the log has %q, want %q", action, auth, lines[before:], want)
			}
		}
		if auth == "" {
			continue
		}
		for _, path := range []string{"/", "/live", "/proof/" + idOf(1).String() + ".json", "/bundle/seal.json", "/list/0.csv"} {
			if w := d.ask("GET", path, auth, ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d", path, auth, w.Code)
			}
		}
	}
	if w := d.ask("POST", "/do/publish?token="+token, "", body); w.Code != http.StatusUnauthorized {
		t.Errorf("a token in the address: %d", w.Code)
	}
	if got := d.state(); got != "beacon known" {
		t.Errorf("state %q", got)
	}
	text, err := os.ReadFile(filepath.Join(d.dir, lottery.FileAudit))
	if err != nil {
		t.Fatal(err)
	}
	wantNone(t, "the log", string(text), token)
	if w := d.ask("POST", "/do/publish", "Bearer wrong", "not an action"); w.Code != http.StatusUnauthorized || !strings.Contains(d.log()[len(d.log())-1], "unknown | refuse") {
		t.Errorf("no name: %d, %q", w.Code, d.log()[len(d.log())-1])
	}
}

// A flood of wrong tokens leaves a bounded log, which tells how many there were.
func TestFloodOfWrongTokens(t *testing.T) {
	d := newDesk(t, nil)
	const flood = 5000
	for range flood {
		d.ask("POST", "/do/publish", "Bearer wrong", `{"who":"Eve"}`)
	}
	if n := len(d.log()); n != 1+refusalsBurst {
		t.Errorf("%d lines", n)
	}
	d.set(at(19, 15, 1)) // two minutes later
	d.ask("POST", "/do/publish", "Bearer wrong", `{"who":"Eve"}`)
	lines := d.log()
	if want := fmt.Sprintf("; %d before it not logged one by one", flood-refusalsBurst); !strings.HasSuffix(lines[len(lines)-1], want) {
		t.Errorf("the last line is %q, want it to end in %q", lines[len(lines)-1], want)
	}
	for range 100 {
		d.ask("POST", "/do/publish", "Bearer wrong", `{"who":"Eve"}`)
	}
	before := len(d.log())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := d.log(); len(lines) != before+1 || !strings.Contains(lines[before], "not logged one by one") {
		t.Errorf("after the end: %q", lines[before:])
	}
}

// What a request may not be.
func TestRefusedRequests(t *testing.T) {
	d := newDesk(t, nil)
	d.draw()
	d.act("publish", nil, http.StatusOK)
	if err := os.WriteFile(filepath.Join(d.dir, "secret"), []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := "Bearer " + token
	for _, c := range []struct {
		method, path, auth, body string
		want                     int
	}{
		{"POST", "/", "", "", 405}, {"PUT", "/live", "", "", 405}, {"DELETE", "/bundle/entries", "", "", 405}, {"GET", "/do/draw", auth, "", 405}, {"PUT", "/do/draw", auth, "", 405},
		{"OPTIONS", "/do/draw", "", "", 405}, {"HEAD", "/live", "", "", 200}, {"GET", "/live", "", "body", 400}, {"HEAD", "/", "", "body", 400},
		{"GET", "/nothing", "", "", 404}, {"GET", "/index.html", "", "", 404}, {"GET", "/do/", "", "", 404}, {"POST", "/do/sign", auth, "{}", 404},
		{"GET", "/bundle/", "", "", 404}, {"GET", "/bundle/secret", auth, "", 404}, {"GET", "/bundle/..%2f..%2fetc%2fpasswd", "", "", 404}, {"GET", "/bundle/%2e%2e", "", "", 404},
		{"GET", "/bundle/..%2fbundle%2fsecret", auth, "", 404}, {"GET", "/bundle/seal.json%00", "", "", 404}, {"GET", "/bundle/SEAL.JSON", "", "", 404}, {"GET", "/bundle/./secret", auth, "", 307},
		{"GET", "/bundle/seal.json/", "", "", 404}, {"GET", "/bundle//etc/passwd", "", "", 307}, {"GET", "/console.css/../bundle/secret", auth, "", 307},
		{"GET", "/list/2.csv", "", "", 404}, {"GET", "/list/-1.csv", "", "", 404}, {"GET", "/list/+1.csv", "", "", 404}, {"GET", "/list/01.csv", "", "", 404},
		{"GET", "/list/99999999999999999999.csv", "", "", 404}, {"GET", "/list/0", "", "", 404}, {"GET", "/list/0.csv", "", "", 200},
		{"GET", "/proof/x.json", "", "", 404}, {"GET", "/proof/" + strings.ToUpper(idOf(1).String()) + ".json", "", "", 404}, {"GET", "/proof/" + idOf(1).String(), "", "", 404},
		{"GET", "/?entry=" + strings.Repeat("0", 2000), "", "", 414}, {"GET", "/?shop=-5&from=-1&entry=%ff&lines=%00&shops=" + strings.Repeat("x", 900), "", "", 200},
		{"GET", "/?shop=1&from=999999999", "", "", 200}, {"GET", "/?shop=99999999999999999999", "", "", 200}, {"GET", "/?a=1;b=2&%zz", "", "", 200},
		{"POST", "/do/publish", auth, `{"who":"Ada"`, 400}, {"POST", "/do/publish", auth, `{"who":"Ada"} {}`, 400}, {"POST", "/do/publish", auth, `{"who":"Ada","why":1}`, 400},
		{"POST", "/do/publish", auth, `[]`, 400}, {"POST", "/do/publish", auth, `{"who":""}`, 400}, {"POST", "/do/publish", auth, `{"who":" Ada"}`, 400},
		{"POST", "/do/publish", auth, `{"who":"A\nda"}`, 400}, {"POST", "/do/publish", auth, `{"who":"` + strings.Repeat("x", 81) + `"}`, 400}, {"POST", "/do/publish", auth, `{"who":"A\u202eda"}`, 400},
		{"POST", "/do/publish", auth, "", 415}, {"POST", "/do/draw", auth, `{"who":"Ada","beacon":"` + strings.Repeat("x", bodyMost) + `"}`, 413},
		{"POST", "/do/export", auth, `{"who":"Ada","shop":1.5}`, 400},
	} {
		w := d.ask(c.method, c.path, c.auth, c.body)
		if w.Code != c.want {
			t.Errorf("%s %.80s: %d, want %d: %.200s", c.method, c.path, w.Code, c.want, w.Body)
		}
		wantNone(t, c.path, w.Body.String(), "hush", "root:")
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
		r := httptest.NewRequest("POST", "/do/publish", strings.NewReader(`{"who":"Ada"}`))
		r.Header.Set("Authorization", auth)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		if d.h.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("a body of type %q: %d", kind, w.Code)
		}
	}
	for _, line := range d.log() {
		if len(line) > 600 {
			t.Errorf("a line of %d bytes in the log", len(line))
		}
	}
}

// Every answer carries the policy, and the page has nothing that it forbids.
func TestHeaders(t *testing.T) {
	d := newDesk(t, nil)
	for _, path := range []string{"/", "/live", "/console.css", "/console.js", "/icon.svg", "/bundle/seal.json", "/nothing", "/do/draw"} {
		h := d.ask("GET", path, "", "").Header()
		for name, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s %q", path, name, got)
			}
		}
		if h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, h)
		}
	}
	wantNone(t, "the policy", policy, "unsafe", "*", "http:", "https:", "data:")
	wantAll(t, policy, "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'")
	d.draw()
	d.act("publish", nil, http.StatusOK)
	page := d.get("/?shop=1&entry=" + idOf(1).String() + "&lines=%3Cscript%3Ealert(2)")
	wantNone(t, "the page", page, "<script>", "alert(1)</", "<script>alert(2)", " style=", " onclick=", "javascript:", "http://")
	wantAll(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(2)")
	if got := d.get("/console.css"); !strings.HasPrefix(got, "body { color: red; }") || strings.Contains(got, "url(") {
		t.Errorf("style %.60q", got)
	}
}

// The list is open until its bundle is there; a folder that is no bundle says so.
func TestOpen(t *testing.T) {
	d := &desk{t: t, dir: filepath.Join(t.TempDir(), "bundle"), time: at(18, 21, 0)}
	due := lottery.Seal{Draw: "masks", Day: "2020-02-19", Cutoff: at(18, 22, 0), DrawAt: at(19, 15, 0)}
	d.start(func(o *Options) { o.Due = &due })
	wantAll(t, d.get("/"), `aria-current="step">open`, "until the list closes", "masks", "2020-02-19")
	wantAll(t, d.get("/live"), fmt.Sprintf(`"target":%d`, due.Cutoff.UnixMilli()), `"zone":28800`)
	for _, path := range []string{"/bundle/seal.json", "/proof/" + idOf(1).String() + ".json", "/list/0.csv"} {
		if w := d.ask("GET", path, "", ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	d.act("draw", map[string]any{"beacon": reading}, http.StatusConflict)
	if w := d.ask("POST", "/do/draw", "", "{}"); w.Code != http.StatusUnauthorized {
		t.Errorf("no token: %d", w.Code)
	}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wantAll(t, d.get("/"), "The folder is no bundle", "seal.json")
	if _, err := New(d.options()); err == nil {
		t.Error("a console over a folder that is no bundle")
	}
	if err := os.Remove(d.dir); err != nil {
		t.Fatal(err)
	}
	before := d.get("/live")
	seal(t, d.dir, false)
	if d.get("/live") == before || d.state() != "sealed" {
		t.Errorf("state %q", d.state())
	}
}

// A rehearsal has its own clock; a real seal has only the one on the wall.
func TestClock(t *testing.T) {
	for _, c := range []struct {
		from time.Time
		want time.Time
	}{{time.Time{}, at(19, 15, 0).Add(-lead)}, {at(19, 14, 0), at(19, 14, 0)}} {
		d := &desk{t: t, dir: filepath.Join(t.TempDir(), "bundle"), time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		seal(t, d.dir, true)
		d.start(func(o *Options) { o.From = c.from })
		d.set(d.time.Add(7 * time.Second))
		if got := d.now(); !got.Equal(c.want.Add(7*time.Second)) || got.Format("-07:00") != "+08:00" {
			t.Errorf("from %v: after 7 s it is %v", c.from, got)
		}
		wantAll(t, d.get("/"), "A REHEARSAL")
		d.set(d.time.Add(2 * time.Hour))
		d.act("draw", map[string]any{"beacon": reading}, http.StatusAccepted)
		d.work.Wait()
		if got := d.state(); got != "drawn" {
			t.Errorf("state %q", got)
		}
	}
	d := newDesk(t, nil)
	o := d.options()
	o.From = at(19, 15, 0)
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "no rehearsal") {
		t.Errorf("another clock for a real seal: %v", err)
	}
	wantNone(t, "the page", d.get("/"), "A REHEARSAL")
	o = d.options()
	o.Token = "short"
	if _, err := New(o); err == nil {
		t.Error("a short token")
	}
}

// What was changed behind the console's back is told, and nothing is published over it.
func TestTampered(t *testing.T) {
	for _, c := range []struct {
		file, old, new string
		page, publish  string
	}{
		{"audit.jsonl", `"who":"Ada"`, `"who":"Eve"`, "audit log: line 2 was changed", "audit log: line 2 was changed"},
		{"draw.json", `"won": `, `"won": 1`, "It does not hold together", "nothing is drawn yet"},
		{"winners.csv", ",1,", ",2,", "winners.csv: not the list that the draw was signed for", "the lists are not those of the draw"},
		{"seal.sig", `"signature": "`, `"signature": "0`, "It does not hold together", "does not hold together"},
	} {
		d := newDesk(t, nil)
		d.draw()
		path := filepath.Join(d.dir, c.file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("%s has no %q", c.file, c.old)
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		wantAll(t, d.admin("/"), c.page)
		text2 := d.ask("POST", "/do/publish", "Bearer "+token, `{"who":"Ada"}`).Body.String()
		wantAll(t, text2, c.publish)
		if d.state() == "published" {
			t.Errorf("%s was changed, and it is published", c.file)
		}
	}
}

// A draw that fails is told and logged, and can be made again.
func TestDrawFails(t *testing.T) {
	var fault error
	key, word := operator, secret
	d := newDesk(t, func(o *Options) {
		o.Keys = func() (ed25519.PrivateKey, lottery.Secret, error) { return key, word, fault }
	})
	d.set(at(19, 15, 1))
	value := map[string]any{"beacon": reading}
	fault = errors.New("no such file")
	wantAll(t, d.act("draw", value, http.StatusConflict), "no such file")
	fault, key = nil, keyOf("eve")
	wantAll(t, d.act("draw", value, http.StatusConflict), "the console's key is not the operator's")
	key, word = operator, lottery.Secret{}
	wantAll(t, d.act("draw", value, http.StatusConflict), "the console's secret is not the one of the seal")
	word = secret

	// An entry changed on disk: only the draw itself can see it.
	path := filepath.Join(d.dir, "entries")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(text)
	bad[lottery.EntryBytes-1]++ // of a moment of editing
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	d.act("draw", value, http.StatusAccepted)
	d.work.Wait()
	wantAll(t, d.get("/"), "The draw came to nothing")
	if lines := d.log(); !strings.HasPrefix(lines[len(lines)-1], "Ada | refuse | draw: ") {
		t.Errorf("the log ends in %q", lines[len(lines)-1])
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.draw()
	if got := d.state(); got != "drawn" {
		t.Errorf("state %q", got)
	}
	wantNone(t, "the page", d.get("/"), "The draw came to nothing")

	watch := newDesk(t, func(o *Options) { o.Keys = nil })
	watch.set(at(19, 15, 1))
	wantAll(t, watch.act("draw", value, http.StatusConflict), "it only shows")
}

// Of many who press at once one draws.
func TestDrawOnce(t *testing.T) {
	d := newDesk(t, nil)
	d.set(at(19, 15, 1))
	body := fmt.Sprintf(`{"who":"Ada","beacon":%q}`, reading)
	codes := make([]int, 20)
	var wait sync.WaitGroup
	for i := range codes {
		wait.Go(func() {
			codes[i] = d.ask("POST", "/do/draw", "Bearer "+token, body).Code
			d.get("/live")
			d.get("/")
		})
	}
	wait.Wait()
	d.work.Wait()
	slices.Sort(codes)
	if codes[0] != http.StatusAccepted || codes[1] != http.StatusConflict || codes[len(codes)-1] != http.StatusConflict {
		t.Errorf("%v", codes)
	}
	if n := strings.Count(strings.Join(d.log(), "\n"), "Ada | draw | "); n != 1 {
		t.Errorf("%d draws in the log", n)
	}
}

// A draw that was declared void says why, goes no further, and stays in the log.
func TestVoid(t *testing.T) {
	d := newDesk(t, nil)
	b, err := lottery.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() // only read
	if err := b.Void(keyOf("operator"), "Ada", "no dice <b>were</b> thrown", at(19, 15, 1)); err != nil {
		t.Fatal(err)
	}
	d.set(at(19, 15, 2))
	if got := d.state(); got != "void" {
		t.Errorf("state %q", got)
	}
	wantAll(t, d.get("/"), "Declared void: no dice &lt;b&gt;were&lt;/b&gt; thrown; AFTER the beacon")
	wantAll(t, d.act("draw", map[string]any{"beacon": reading}, http.StatusConflict), "declared void")
	if _, _, err := b.Draw(t.Context(), lottery.DrawOptions{Key: keyOf("operator"), Now: at(19, 15, 3)}); err == nil || !strings.Contains(err.Error(), "declared void") {
		t.Errorf("drawn all the same: %v", err)
	}
}

// Progress goes on, never back, and starts anew with a new step.
func TestProgress(t *testing.T) {
	d := newDesk(t, nil)
	d.job = &job{}
	for _, c := range []struct {
		what string
		done int64
		want job
	}{{"hashing", 5, job{"hashing", 5, 9}}, {"hashing", 4, job{"hashing", 5, 9}}, {"round 1", 1, job{"round 1", 1, 9}}} {
		if d.progress(c.what, c.done, 9); *d.job != c.want {
			t.Errorf("%+v, want %+v", *d.job, c.want)
		}
	}
	wantAll(t, d.get("/live"), `"job":{"what":"round 1","done":1,"of":9}`)
	d.act("draw", nil, http.StatusConflict)
	d.job = nil
	d.progress("round 1", 2, 9)
	if d.job != nil {
		t.Error("progress of nothing")
	}
}

// The tests are made once, for what is drawn, and shown when the draw is.
func TestFairness(t *testing.T) {
	made := 0
	d := newDesk(t, func(o *Options) {
		o.Fairness = func(_ context.Context, b *lottery.Bundle, drawn lottery.Drawn) ([]Test, error) {
			made++
			if _, err := b.Drawn(); err != nil {
				return nil, err
			}
			return []Test{{"by shop", "winners against luck", 0.25, 1, "fits a fair draw", true}, {"by hour", "a trend", 0.00001, 0.00012, "does not fit", false}}, nil
		}
	})
	wantAll(t, d.get("/"), "They come when the draw is published")
	d.draw()
	d.get("/live")
	d.work.Wait()
	wantNone(t, "the public page", d.get("/"), "winners against luck")
	wantAll(t, d.admin("/"), "winners against luck", ">0.25<", ">0.00012<", `status missed">does not fit`)
	d.act("publish", nil, http.StatusOK)
	wantAll(t, d.get("/"), "winners against luck")
	if made != 1 {
		t.Errorf("tested %d times", made)
	}
	failing := newDesk(t, func(o *Options) {
		o.Fairness = func(context.Context, *lottery.Bundle, lottery.Drawn) ([]Test, error) {
			return nil, errors.New("no numbers")
		}
	})
	failing.draw()
	failing.get("/live")
	failing.work.Wait()
	wantAll(t, failing.admin("/"), "They could not be reckoned: no numbers")
}

// Searching, and the pages of a shop's list.
func TestSearch(t *testing.T) {
	d := newDesk(t, nil)
	d.draw()
	d.act("publish", nil, http.StatusOK)
	for q, want := range map[string]string{"lines=n95": "1 of 3 lines", "lines=one+ORD": "1 of 3 lines", "lines=nowhere": "0 of 3 lines", "lines=": "3 of 3 lines", "shops=east": "1 shops", "shops=x": "0 shops"} {
		wantAll(t, d.get("/?"+q), want)
	}
	first, last := d.get("/?shop=0"), d.get("/?shop=0&from=100")
	wantAll(t, first, "Rows 1 to 100 of 134", "from=100", "reserve")
	wantNone(t, "the first page", first, ">earlier<")
	wantAll(t, last, "Rows 101 to 134 of 134", ">earlier<")
	wantNone(t, "the last page", last, ">later<")
	wantAll(t, d.get("/?shop=0&from=5000"), "Rows 101 to 134 of 134")
}

// What costs is limited for the public, not for who holds the token; a look is not.
func TestLimits(t *testing.T) {
	d := newDesk(t, nil)
	codes := map[int]int{}
	for range askedBurst + 50 {
		codes[d.ask("GET", "/?entry="+idOf(3).String(), "", "").Code]++
	}
	if codes[http.StatusOK] != askedBurst || codes[http.StatusTooManyRequests] != 50 {
		t.Errorf("%v", codes)
	}
	if w := d.ask("GET", "/bundle/seal.json", "", ""); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("a file: %d", w.Code)
	}
	if w := d.ask("GET", "/", "Bearer "+token, ""); w.Code != http.StatusOK {
		t.Errorf("with the token: %d", w.Code)
	}
	if w := d.ask("GET", "/live", "", ""); w.Code != http.StatusOK {
		t.Errorf("a look: %d", w.Code)
	}
	d.set(d.wall().Add(time.Second))
	if w := d.ask("GET", "/", "", ""); w.Code != http.StatusOK {
		t.Errorf("a second later: %d", w.Code)
	}
	for range sendingMost {
		d.sending <- struct{}{}
	}
	if w := d.ask("GET", "/bundle/entries", "", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one file too many: %d", w.Code)
	}
}

// Every file of a bundle is in the table, and can be had whole or from the middle.
func TestFiles(t *testing.T) {
	d := newDesk(t, nil)
	d.draw()
	d.act("publish", nil, http.StatusOK)
	there, err := os.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names, listed []string
	for _, f := range there {
		names = append(names, f.Name())
	}
	for _, f := range files {
		listed = append(listed, f.Name)
	}
	if slices.Sort(listed); !slices.Equal(names, listed) {
		t.Errorf("the bundle has %v, the table %v", names, listed)
	}
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w := d.ask("GET", "/bundle/"+name, "", "")
		if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) || !strings.Contains(w.Header().Get("Content-Disposition"), "attachment") {
			t.Errorf("%s: %d, %d bytes of %d", name, w.Code, w.Body.Len(), len(want))
		}
	}
}

// A real server: it answers, refuses a header that is too large, and stops.
func TestServe(t *testing.T) {
	d := newDesk(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()
	for path, want := range map[string]int{"/live": 200, "/bundle/entries": 200, "/bundle/..%2fsecret": 404} {
		r, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != want {
			t.Errorf("%s: %d, %v", path, r.StatusCode, err)
		}
		if path == "/bundle/entries" && len(body) != 1000*lottery.EntryBytes {
			t.Errorf("%d bytes of entries", len(body))
		}
	}
	r, err := http.NewRequest("GET", url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 4*headerBytesMost))
	if a, err := http.DefaultClient.Do(r); err != nil || a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header: %v, %v", a, err)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// No body of an action is taken that has not one meaning, and no name that hides any.
func FuzzAct(f *testing.F) {
	for _, s := range []string{`{"who":"Ada"}`, `{"who":"Ada","beacon":"{}","shop":3}`, `{"who":"Ada"} `, `{"who":"\u0000"}`, `{}`, `[]`, `null`, `{"who":"Ada","shop":null}`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/do/draw", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		a, err := readAct(httptest.NewRecorder(), r)
		if err != nil {
			if !errors.As(err, new(said)) {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if checkWho(a.Who) != nil {
			t.Fatalf("%q: who %q", body, a.Who)
		}
	})
}

// Whatever the page is asked for, it is made, and nothing of the question becomes markup.
func FuzzPage(f *testing.F) {
	d := newDesk(f, func(o *Options) { o.Keys = nil })
	for _, s := range []string{"", "lines=one&shops=east&shop=0&from=100", "entry=" + idOf(1).String(), "entry=%3Cb%3E", "shop=9&from=-1", "lines=%22%3E%3Cscript%3E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		d.page(w, r)
		if w.Code != http.StatusOK || strings.Count(w.Body.String(), "<script") != 1 {
			t.Fatalf("%q: %d, %d scripts", query, w.Code, strings.Count(w.Body.String(), "<script"))
		}
	})
}
