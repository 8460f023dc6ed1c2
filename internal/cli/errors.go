package cli

import (
	"context"
	"errors"

	"spillway/reports/gate"
)

// exit carries an exit code with an error; see the table in reports/gate.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// badInput marks an error as the user's to mend in what was typed or written.
func badInput(err error) error { return marked(gate.ExitBadInput, err) }

// environment marks an error as the machine's: port, disk, engine, target.
func environment(err error) error { return marked(gate.ExitEnvironment, err) }

func marked(code int, err error) error {
	if err == nil {
		return nil
	}
	return exit{code, err}
}

// codeOf is the exit code of an error: the innermost mark, interrupted for a
// cancelled context, internal otherwise.
func codeOf(err error) int {
	var e exit
	switch {
	case err == nil:
		return gate.ExitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return gate.ExitInterrupted
	}
	return gate.ExitInternal
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted: what was measured so far is kept and marked partial")
