package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"spillway/internal/wire"
	"spillway/reference"
	"spillway/reports/gate"
)

// backend is the bundled backend in a child process of its own, so that the
// generator and what it measures do not share a scheduler.
type backend struct {
	reference.Ready
	cmd   *exec.Cmd
	stdin io.Closer
	log   *childLog
	done  chan error
}

// childLog keeps what the child says in a file and its end in memory too: on a
// full disk the file stays empty just when it matters.
type childLog struct {
	file *os.File // not embedded: its ReadFrom would pass Write by
	end  []byte   // read it after the child's end only
}

// saidMost bounds the end that is kept, in bytes; an error is one line.
const saidMost = 4 << 10

func (l *childLog) Write(p []byte) (int, error) {
	_, _ = l.file.Write(p) // its loss must not silence the child
	l.end = append(l.end, p...)
	l.end = l.end[max(0, len(l.end)-saidMost):]
	return len(p), nil
}

// readyWithin bounds the wait for the child's ready line; it opens two stores
// and two ports, a quarter of a second on an idle machine.
const readyWithin = 20 * time.Second

// startBackend runs "spillway serve" as a child with the configuration on its
// standard input. What it says goes to logFile.
func startBackend(ctx context.Context, cfg reference.Config, logFile string) (*backend, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, environment(fmt.Errorf("cannot find this program's own file to start the backend: %w", err))
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encoding the backend's configuration: %w", err)
	}
	file, err := os.Create(logFile)
	if err != nil {
		return nil, environment(fmt.Errorf("cannot write the backend's log: %w", err))
	}
	log := &childLog{file: file}
	b := &backend{cmd: exec.Command(self, "serve", "--config", "-"), log: log, done: make(chan error, 1)}
	b.cmd.Stderr = log
	// A group of its own: Ctrl-C reaches this process alone, which then stops
	// the child in order, so that nothing accepted is lost.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, log.file.Close())
	}
	b.stdin = in
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, log.file.Close())
	}
	if err := b.cmd.Start(); err != nil {
		return nil, environment(errors.Join(fmt.Errorf("cannot start the backend: %w", err), log.file.Close()))
	}
	line := make(chan []byte, 1)
	go func() {
		r := bufio.NewReader(out)
		l, _ := r.ReadBytes('\n') // an early end shows as a line that does not decode
		line <- l
		_, _ = io.Copy(io.Discard, r)
		b.done <- b.cmd.Wait()
	}()
	if _, err := in.Write(append(text, '\n')); err != nil {
		return nil, b.failed(fmt.Errorf("the backend did not take its configuration: %w", err))
	}
	select {
	case l := <-line:
		if json.Unmarshal(l, &b.Ready) != nil || b.AdminURL == "" {
			return nil, b.failed(errors.New("the backend did not start"))
		}
		// The line shows no passwords, so what this process named itself counts.
		b.Redis, b.Database = cmp.Or(cfg.Redis, b.Redis), cmp.Or(cfg.Database, b.Database)
		return b, nil
	case <-ctx.Done():
		return nil, b.failed(context.Cause(ctx))
	case <-time.After(readyWithin):
		return nil, b.failed(fmt.Errorf("the backend was not ready within %v", readyWithin))
	}
}

// failed stops a child that did not come up and says why, in the child's words.
func (b *backend) failed(err error) error {
	_ = b.cmd.Process.Kill()
	_ = b.stdin.Close()
	<-b.done
	_ = b.log.file.Close()
	said := lastLine(b.log.end)
	if said == "" {
		return environment(err)
	}
	return environment(fmt.Errorf("%w: %s", err, said))
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "spillway: ")
}

// stopWithin bounds a graceful stop: it drains the queue at the writer's rate.
const stopWithin = 30 * time.Second

// stop ends the child in order by closing its input, and by force if that takes
// too long. It is an error when the child does not end well by itself.
func (b *backend) stop() error {
	_ = b.stdin.Close()
	var err error
	select {
	case err = <-b.done:
	case <-time.After(stopWithin):
		_ = b.cmd.Process.Kill()
		<-b.done
		err = fmt.Errorf("did not stop within %v and was killed", stopWithin)
	}
	_ = b.log.file.Close()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the backend did not end well (%w): %s (its log: %s)", err, cmp.Or(lastLine(b.log.end), "it did not say why"), filepath.Base(b.log.file.Name()))
	if b.cmd.ProcessState.ExitCode() == gate.ExitEnvironment {
		return environment(err)
	}
	return err
}

// admin posts to the admin part and decodes the answer into out, if not nil.
func (b *backend) admin(ctx context.Context, path string, body, out any) error {
	return b.call(ctx, http.MethodPost, path, body, out)
}

// call makes one call of the admin part; body and out may be nil.
func (b *backend) call(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	var err error
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, b.AdminURL+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.AdminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the backend: %w", err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the backend's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the backend answered %s to %s: %s", resp.Status, path, strings.TrimSpace(string(text)))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// drain waits until the backend's queue is empty, at most within.
func (b *backend) drain(ctx context.Context, within time.Duration) (wire.Drained, error) {
	ctx, cancel := context.WithTimeout(ctx, within+5*time.Second)
	defer cancel()
	var d wire.Drained
	err := b.admin(ctx, wire.PathAdminDrain+"?within="+within.String(), struct{}{}, &d)
	return d, err
}
