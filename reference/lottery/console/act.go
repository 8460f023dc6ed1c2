package console

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"

	"spillway/reference/lottery"
	"spillway/reference/lottery/beacon"
)

// Limits of actions.
const (
	bodyMost   = 160 << 10 // bytes: a beacon's value of 64 KiB, quoted
	whoMost    = 80        // bytes of a name
	detailMost = 300       // bytes of a reason in the audit log

	refusalsRate  = 0.1 // lines a second of the audit log for who has no token
	refusalsBurst = 20
)

// nobody is who acts without the token.
const nobody = "unknown"

// act is what is sent with an action.
type act struct {
	Who    string `json:"who"`
	Beacon string `json:"beacon"` // draw: the value as JSON
	Shop   *int   `json:"shop"`   // export: its place in the stock list; none = all
}

// said is an answer of an action, and a reason in the log.
type said struct {
	code int
	text string
}

func (s said) Error() string { return s.text }

func refuse(code int, format string, args ...any) error {
	return said{code, strings.TrimPrefix(fmt.Sprintf(format, args...), "lottery: ")}
}

// right says whether a request carries the admin token, and whether it tried to.
func (c *Console) right(r *http.Request) (ok, tried bool) {
	text := r.Header.Get("Authorization")
	token, bearer := strings.CutPrefix(text, "Bearer ")
	got := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], c.token[:]) == 1 && bearer, text != ""
}

// action serves one action: token, body, what it does, and a line of the audit log
// when it is refused.
func (c *Console) action(name string, do func(*view, act, http.ResponseWriter) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ok, tried := c.right(r)
		a, err := readAct(w, r)
		if !ok {
			what := "no token"
			if tried {
				what = "wrong token"
			}
			c.unauthorised(w, name+": "+what, a.Who)
			return
		}
		c.acting.Lock()
		defer c.acting.Unlock()
		v := c.look()
		if err == nil {
			if v.Bundle == nil {
				err = refuse(http.StatusConflict, "the list is open: nothing is sealed yet")
			} else {
				err = do(v, a, w)
			}
		}
		if err == nil {
			return
		}
		code := http.StatusInternalServerError
		var s said
		if errors.As(err, &s) {
			code = s.code
		}
		text := err.Error()
		if v.Bundle != nil {
			if e := v.Bundle.Audit().Append(c.now(), orNobody(a.Who), "refuse", v.Digest, cut(name+": "+text)); e != nil {
				code, text = http.StatusInternalServerError, text+"; and it could not be logged: "+e.Error()
			}
		}
		http.Error(w, text, code)
	}
}

func orNobody(who string) string {
	if checkWho(who) != nil {
		return nobody
	}
	return who
}

func cut(s string) string {
	if len(s) > detailMost {
		return strings.ToValidUTF8(s[:detailMost], "") + "…"
	}
	return s
}

// unauthorised refuses who has no token, and logs it while there is room.
func (c *Console) unauthorised(w http.ResponseWriter, what, who string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="spillway lottery console"`)
	v := c.look()
	if v.Bundle != nil {
		if err := c.logRefusal(v, what, who); err != nil {
			http.Error(w, "the admin token is missing or wrong, and it could not be logged: "+err.Error(), http.StatusUnauthorized)
			return
		}
	}
	http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
}

func (c *Console) logRefusal(v *view, what, who string) error {
	c.mu.Lock()
	if !c.refused.take(c.o.Now()) {
		c.unsaid++
		c.mu.Unlock()
		return nil
	}
	more := c.unsaid
	c.unsaid = 0
	now := c.nowLocked()
	c.mu.Unlock()
	if more > 0 {
		what += fmt.Sprintf("; %d before it not logged one by one", more)
	}
	by := nobody
	if checkWho(who) == nil {
		by += fmt.Sprintf(", says %q", who)
	}
	return v.Bundle.Audit().Append(now, by, "refuse", v.Digest, what)
}

// readAct reads the body of an action.
func readAct(w http.ResponseWriter, r *http.Request) (a act, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return a, refuse(http.StatusUnsupportedMediaType, "want the body as application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMost))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return a, refuse(http.StatusRequestEntityTooLarge, "a body of more than %d bytes", bodyMost)
		}
		return a, refuse(http.StatusBadRequest, "the body did not come whole")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return act{}, refuse(http.StatusBadRequest, "not an action: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return act{}, refuse(http.StatusBadRequest, "something follows the action")
	}
	return a, checkWho(a.Who)
}

// checkWho says what is wrong with a name.
func checkWho(s string) error {
	if s == "" || len(s) > whoMost || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return refuse(http.StatusBadRequest, "say who acts: a name of at most %d bytes", whoMost)
	}
	return nil
}

// draw checks what can be checked at once, and starts the draw.
func (c *Console) draw(v *view, a act, w http.ResponseWriter) error {
	now := c.now()
	c.mu.Lock()
	running := c.job != nil
	c.mu.Unlock()
	switch {
	case c.o.Keys == nil:
		return refuse(http.StatusConflict, "this console was given no operator's key: it only shows")
	case running:
		return refuse(http.StatusConflict, "the draw is being made")
	case v.Drawn != nil:
		return refuse(http.StatusConflict, "it is drawn already, and no draw is made twice")
	case v.state(now) == void:
		return refuse(http.StatusConflict, "it was declared void, and will not be drawn")
	case len(v.Alarms) > 0:
		return refuse(http.StatusConflict, "the bundle does not hold together: %s", v.Alarms[0])
	case now.Before(v.Seal.DrawAt):
		return refuse(http.StatusConflict, "it is %s: the draw is at %s", clockText(now), clockText(v.Seal.DrawAt))
	case now.Before(v.Seal.Beacon.Available()):
		return refuse(http.StatusConflict, "it is %s: the beacon's value can be known at %s", clockText(now), clockText(v.Seal.Beacon.Available().In(now.Location())))
	}
	value, err := beacon.ParseValue([]byte(a.Beacon))
	if err == nil {
		_, err = v.Seal.Beacon.Check(value)
	}
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "beacon: %v", err)
	}
	key, secret, err := c.o.Keys()
	switch {
	case err != nil:
		return refuse(http.StatusConflict, "%v", err)
	case lottery.KeyOf(key) != v.Seal.Parties[0].Key:
		return refuse(http.StatusConflict, "the console's key is not the operator's of the seal")
	case secret.Commitment() != v.Seal.Commitment:
		return refuse(http.StatusConflict, "the console's secret is not the one of the seal")
	}
	c.mu.Lock()
	c.job, c.failed = &job{What: "beginning", Of: v.Seal.Entries}, ""
	c.mu.Unlock()
	c.work.Go(func() {
		_, _, err := v.Bundle.Draw(c.ctx, lottery.DrawOptions{Value: value, Secret: secret, Key: key, Now: now, Who: a.Who, Progress: c.progress})
		if err != nil {
			text := strings.TrimPrefix(err.Error(), "lottery: ")
			if e := v.Bundle.Audit().Append(c.now(), a.Who, "refuse", v.Digest, cut("draw: "+text)); e != nil {
				text += "; and it could not be logged: " + e.Error()
			}
			err = errors.New(text)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.job = nil
		if err != nil {
			c.failed = err.Error()
		}
	})
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintln(w, "The draw is being made.")
	return nil
}

// progress is told by all cores how far the draw is; what comes while another is heard
// is dropped, and none goes back.
func (c *Console) progress(what string, done, of int64) {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if j := c.job; j != nil && (j.What != what || done > j.Done) {
		c.job = &job{what, done, of}
	}
}

// publish makes the draw public.
func (c *Console) publish(v *view, a act, w http.ResponseWriter) error {
	switch {
	case v.Drawn == nil:
		return refuse(http.StatusConflict, "nothing is drawn yet")
	case v.Published != nil:
		return refuse(http.StatusConflict, "it is published since %s", clockText(v.Published.At))
	case len(v.Alarms) > 0:
		return refuse(http.StatusConflict, "the bundle does not hold together: %s", v.Alarms[0])
	}
	if _, err := c.listsOf(v); err != nil {
		return refuse(http.StatusConflict, "the lists are not those of the draw: %v", err)
	}
	if err := v.Bundle.Audit().Append(c.now(), a.Who, "publish", v.Draw, fmt.Sprintf("%d winners, %d in reserve", v.Drawn.Won, v.Drawn.Reserve)); err != nil {
		return err
	}
	fmt.Fprintln(w, "Published.")
	return nil
}

// export gives the list of one pharmacy as CSV, or those of all in a zip.
func (c *Console) export(v *view, a act, w http.ResponseWriter) error {
	if v.Drawn == nil {
		return refuse(http.StatusConflict, "nothing is drawn yet")
	}
	lists, err := c.listsOf(v)
	if err != nil {
		return refuse(http.StatusConflict, "the lists are not those of the draw: %v", err)
	}
	var b bytes.Buffer
	name, kind, detail := "pharmacies-"+v.Seal.Day+".zip", "application/zip", fmt.Sprintf("all %d pharmacies", len(lists))
	if a.Shop != nil {
		if *a.Shop < 0 || *a.Shop >= len(lists) {
			return refuse(http.StatusNotFound, "no pharmacy %d: there are %d", *a.Shop, len(lists))
		}
		l := lists[*a.Shop]
		name, kind, detail = c.o.FileName(l)+".csv", "text/csv; charset=utf-8", l.Shop
		err = c.o.List(&b, l)
	} else {
		err = c.zip(&b, lists)
	}
	if err != nil {
		return err
	}
	if err := v.Bundle.Audit().Append(c.now(), a.Who, "export", v.Drawn.Winners, cut(detail)); err != nil {
		return err
	}
	attach(w, name, kind)
	_, _ = w.Write(b.Bytes()) // who asked has gone
	return nil
}

// zip writes the lists of all pharmacies, the names of its files made different where
// they are not.
func (c *Console) zip(w io.Writer, lists []lottery.ShopList) error {
	z := zip.NewWriter(w)
	seen := map[string]bool{}
	for i, l := range lists {
		name := c.o.FileName(l)
		if seen[name] || name == "" {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		seen[name] = true
		f, err := z.Create(name + ".csv")
		if err == nil {
			err = c.o.List(f, l)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}

// attach makes an answer a file to keep.
func attach(w http.ResponseWriter, name, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}
