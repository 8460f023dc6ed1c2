package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"spillway/internal/wire"
)

// board is where the processes of an event leave word of the run, in one hash:
// one that starts in mid-run learns offset 0 and the runtime config from it.
type board struct {
	client redis.UniversalClient
	key    string

	mu  sync.Mutex
	has map[string]string // what this process knows of it
}

// start leaves word of offset 0.
func (b *board) start(ctx context.Context, in wire.Start) error {
	return b.put(ctx, map[string]string{"start": strconv.FormatInt(in.UnixNano, 10)})
}

// change leaves word of what a change sets.
func (b *board) change(ctx context.Context, in wire.Change) error {
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("noting a change: %w", err)
	}
	set := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("noting a change: %w", err)
	}
	fields := map[string]string{}
	for field, value := range set {
		fields[field] = string(value)
	}
	return b.put(ctx, fields)
}

func (b *board) put(ctx context.Context, fields map[string]string) error {
	if len(fields) == 0 {
		return nil
	}
	b.mu.Lock()
	maps.Copy(b.has, fields)
	b.mu.Unlock()
	if err := b.client.HSet(ctx, b.key, fields).Err(); err != nil {
		return fmt.Errorf("leaving word of the run in the store: %w", err)
	}
	return nil
}

// keep leaves word again when Redis has lost it. What another process has left since
// stays.
func (b *board) keep(ctx context.Context, client redis.UniversalClient) error {
	n, err := client.Exists(ctx, b.key).Result()
	if err != nil || n > 0 {
		return err
	}
	b.mu.Lock()
	fields := maps.Clone(b.has)
	b.mu.Unlock()
	_, err = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for field, value := range fields { // a hash has no order to keep
			p.HSetNX(ctx, b.key, field, value)
		}
		return nil
	})
	return err
}

// first leaves word of offset 0 unless there is one already, so that all
// processes count from the same moment until a run says otherwise.
func (b *board) first(ctx context.Context, unixNano int64) error {
	if err := b.client.HSetNX(ctx, b.key, "start", unixNano).Err(); err != nil {
		return fmt.Errorf("leaving word of the run in the store: %w", err)
	}
	return nil
}

// read is the run so far; start 0 = there is no word of it.
func (b *board) read(ctx context.Context) (start int64, change wire.Change, err error) {
	has, err := b.client.HGetAll(ctx, b.key).Result()
	if err != nil {
		return 0, change, fmt.Errorf("reading the word of the run: %w", err)
	}
	b.mu.Lock()
	maps.Copy(b.has, has)
	b.mu.Unlock()
	set := map[string]json.RawMessage{}
	for field, value := range has {
		if field != "start" {
			set[field] = json.RawMessage(value)
			continue
		}
		if start, err = strconv.ParseInt(value, 10, 64); err != nil {
			return 0, change, fmt.Errorf("the store's word of the run: start %.40q: want nanoseconds; delete %s", value, b.key)
		}
	}
	text, err := json.Marshal(set)
	if err == nil {
		err = strict(text, &change)
	}
	if err != nil {
		return 0, change, fmt.Errorf("the store's word of the run: %w; delete %s", err, b.key)
	}
	return start, change, nil
}

// join takes part in a run that is under way. It does nothing when one process
// is all there is.
func (s *Stack) join(ctx context.Context) error {
	if s.config.Role == RoleAll {
		return nil
	}
	s.board = &board{client: s.stores.client, key: "{" + s.config.Event + "}:run", has: map[string]string{}}
	if err := s.board.first(ctx, instant(0).UnixNano()); err != nil {
		return environment{err}
	}
	start, change, err := s.board.read(ctx)
	if err != nil {
		return environment{err}
	}
	if start != 0 {
		s.start(start)
	}
	return s.apply(change)
}

// memberName is this process among those with its role. Embedded there is one,
// which finds what it left when it starts again.
func memberName(role string) (string, error) {
	if role == RoleAll {
		return "writer", nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", environment{fmt.Errorf("this host has no name: %w; give it one", err)}
	}
	return fmt.Sprintf("%s-%d-%d", host, os.Getpid(), members.Add(1)), nil
}

// members counts those of this process.
var members atomic.Int64
