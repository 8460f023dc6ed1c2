package reference

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"spillway/reference/queue"
	"spillway/reference/stock"
)

// A crash point is a moment just before or just after one step that changes a
// store, named "<layer>.<call>.<before|after>". After means that the store has
// done it and nobody knows yet.

// steps are the calls that change a store, between "stock taken" and "result
// visible", and those of dead letters, refunds and rebuilds.
var steps = []string{
	"stock.take", "stock.refund", "stock.offer", "stock.withdraw", "stock.begin", "stock.restore", "stock.open", "stock.readmit",
	"stock.change", "stock.seal",
	"queue.open", "queue.read", "queue.claim", "queue.ack", "queue.bury",
	"ledger.begin", "ledger.commit", "ledger.rollback",
	"results.put",
	"letters.replay", "letters.discard",
}

// CrashPoints lists every crash point, in order of the steps.
func CrashPoints() []string {
	out := make([]string, 0, 2*len(steps))
	for _, s := range steps {
		out = append(out, s+".before", s+".after")
	}
	return out
}

// Tap is told of every passing of a crash point. An error of it becomes the
// step's: before the step, which then does not happen, or after it, when it has
// happened and its caller is told that it failed.
type Tap func(ctx context.Context, point string) error

// TapRedis makes a client's hook of a tap. Calls that change nothing, and those
// that no crash point names, pass it by.
func TapRedis(tap Tap) redis.Hook {
	scripts := stock.ScriptNames()
	maps.Copy(scripts, queue.ScriptNames())
	return &taps{tap, scripts}
}

type taps struct {
	tap     Tap
	scripts map[string]string // SHA-1 to step
}

var _ redis.Hook = (*taps)(nil)

// DialHook implements redis.Hook.
func (h *taps) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (h *taps) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		step := h.step(cmd.Args())
		if step == "" {
			return next(ctx, cmd)
		}
		if err := h.tap(ctx, step+".before"); err != nil {
			cmd.SetErr(err)
			return err
		}
		if err := next(ctx, cmd); err != nil && err != redis.Nil {
			return err // a script that must be sent whole first has not run
		}
		if err := h.tap(ctx, step+".after"); err != nil {
			cmd.SetErr(err)
			return err
		}
		return cmd.Err()
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h *taps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		step := ""
		for _, c := range cmds {
			if s := h.step(c.Args()); s != "" {
				step = s
			}
		}
		fail := func(err error) error {
			for _, c := range cmds {
				c.SetErr(err)
			}
			return err
		}
		if step == "" {
			return next(ctx, cmds)
		}
		if err := h.tap(ctx, step+".before"); err != nil {
			return fail(err)
		}
		if err := next(ctx, cmds); err != nil {
			return err
		}
		if err := h.tap(ctx, step+".after"); err != nil {
			return fail(err)
		}
		return nil
	}
}

// step is the step that a command is; "" = none.
func (h *taps) step(args []any) string {
	word := func(i int) string {
		if i >= len(args) {
			return ""
		}
		s, _ := args[i].(string)
		return s
	}
	switch strings.ToLower(word(0)) {
	case "evalsha":
		name := h.scripts[word(1)]
		if name == "letters.act" { // the script's third argument says which
			n, _ := args[2].(int)
			if name = "letters.discard"; word(3+n+2) == "replay" {
				name = "letters.replay"
			}
		}
		return known(name)
	case "eval":
		return h.step(append([]any{"evalsha", redis.NewScript(word(1)).Hash()}, args[2:]...))
	case "xgroup":
		return "queue.open"
	case "xreadgroup":
		return "queue.read"
	case "xclaim":
		return "queue.claim"
	case "xack":
		return "queue.ack"
	case "hset":
		switch key := word(1); {
		case strings.HasSuffix(key, ":results"):
			return "results.put"
		case strings.HasSuffix(key, ":offers"):
			return "stock.offer"
		}
	case "hdel":
		if strings.HasSuffix(word(1), ":offers") {
			return "stock.withdraw"
		}
	}
	return ""
}

func known(step string) string {
	if slices.Contains(steps, step) {
		return step
	}
	return ""
}
