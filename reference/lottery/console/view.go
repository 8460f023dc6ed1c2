package console

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spillway/reference/lottery"
)

// The files of a bundle that the console itself looks at; package lottery wrote them.
const (
	fileDraw  = "draw.json"
	fileAudit = "audit.jsonl"
)

// view is a bundle at one moment. It does not change.
type view struct {
	stamp  string          // of the files that change
	Bundle *lottery.Bundle // nil while the list is open
	Broken error           // why the folder is no bundle

	Seal      lottery.Seal
	Digest    lottery.Hash
	Signed    map[string]bool // by party
	Drawn     *lottery.Drawn
	Draw      lottery.Hash    // SHA-256 of the draw's document
	Published *lottery.Action // nil = not yet
	Actions   []lottery.Action
	Head      lottery.Hash
	Alarms    []string // what does not fit
}

// state is how far a draw has come.
type state int

// The states, in order.
const (
	open state = iota + 1
	sealed
	known
	drawn
	published
)

var stateNames = [...]string{open: "open", sealed: "sealed", known: "beacon known", drawn: "drawn", published: "published"}

func (s state) String() string { return stateNames[s] }

// stampOf changes when a file of the bundle does.
func stampOf(dir string) string {
	var b strings.Builder
	for _, name := range []string{"seal.sig", fileDraw, fileAudit} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			fmt.Fprintf(&b, "%d.%d", info.Size(), info.ModTime().UnixNano())
		}
		b.WriteByte('/')
	}
	return b.String()
}

// read reads all of a bundle but its list.
func read(b *lottery.Bundle, stamp string) *view {
	v := &view{stamp: stamp, Bundle: b, Seal: b.Seal, Digest: b.Digest(), Signed: map[string]bool{}}
	alarm := func(err error) { v.Alarms = append(v.Alarms, strings.TrimPrefix(err.Error(), "lottery: ")) }
	by, err := b.SignedBy()
	if err != nil {
		alarm(err)
	}
	for _, name := range by {
		v.Signed[name] = true
	}
	if v.Actions, v.Head, err = b.Audit().Read(); err != nil {
		alarm(err)
	} else if len(v.Actions) == 0 || v.Actions[0].What != "seal" || v.Actions[0].Of != v.Digest {
		alarm(errors.New("audit log: its first line is not this seal's making"))
	}
	switch d, err := b.Drawn(); {
	case errors.Is(err, fs.ErrNotExist):
		return v
	case err != nil:
		alarm(err)
		return v
	default:
		doc, err := os.ReadFile(filepath.Join(b.Dir, fileDraw))
		if err != nil {
			alarm(err)
			return v
		}
		v.Drawn, v.Draw = &d, sha256.Sum256(doc)
	}
	made := false
	for i, a := range v.Actions {
		if a.Of != v.Draw {
			continue
		}
		made = made || a.What == "draw"
		if a.What == "publish" && v.Published == nil {
			v.Published = &v.Actions[i]
		}
	}
	if !made && len(v.Alarms) == 0 {
		// A draw under way has written its document and not yet its line: the next look tells.
		alarm(errors.New("audit log: no line of it made this draw"))
	}
	return v
}

// state is how far the draw has come at a moment.
func (v *view) state(now time.Time) state {
	switch {
	case v.Bundle == nil:
		return open
	case v.Published != nil:
		return published
	case v.Drawn != nil:
		return drawn
	case !now.Before(v.Seal.Beacon.Available()):
		return known
	}
	return sealed
}

// next is what the state waits for, and when it comes; zero = for a person.
func (v *view) next(now time.Time, due *lottery.Seal) (until string, at time.Time) {
	switch v.state(now) {
	case open:
		if due != nil && now.Before(due.Cutoff) {
			return "until the list closes", due.Cutoff
		}
		return "The list closes when it is sealed", time.Time{}
	case sealed:
		return "until the beacon’s value can be known", v.Seal.Beacon.Available()
	case known:
		if now.Before(v.Seal.DrawAt) {
			return "until the hour of the draw", v.Seal.DrawAt
		}
		return "The draw can be made", time.Time{}
	case drawn:
		return "Drawn. The winners are not published yet", time.Time{}
	}
	return "Drawn and published", time.Time{}
}
