package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spillway/reference/lottery"
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
	void // after sealed or known
)

var stateNames = [...]string{open: "open", sealed: "sealed", known: "beacon known", drawn: "drawn", published: "published", void: "void"}

func (s state) String() string { return stateNames[s] }

// stampOf changes when a file of the bundle does.
func stampOf(dir string) string {
	var b strings.Builder
	for _, name := range []string{lottery.FileSealSignatures, lottery.FileDraw, lottery.FileAudit} {
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
	d, err := b.Drawn()
	switch {
	case err == nil:
		v.Drawn = &d
		if v.Draw, err = b.DrawDigest(); err != nil {
			alarm(err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		alarm(err)
	}
	// A draw under way has written its document and not yet its line: the next look tells.
	if v.Actions, v.Head, err = b.Actions(v.Drawn != nil); err != nil {
		alarm(err)
	}
	for i, a := range v.Actions {
		if v.Drawn != nil && a.What == "publish" && a.Of == v.Draw && v.Published == nil {
			v.Published = &v.Actions[i]
		}
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
	case lottery.VoidOf(v.Actions) != nil:
		return void
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
	case void:
		return "Declared void: " + lottery.VoidOf(v.Actions).Detail, time.Time{}
	}
	return "Drawn and published", time.Time{}
}
