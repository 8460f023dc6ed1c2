package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"spillway/internal/wire"
)

type healthCmd struct {
	URL    string        `default:"http://127.0.0.1:8080" help:"The backend: its visitor's part or its admin part."`
	Within time.Duration `default:"2s" help:"Wait for an answer so long."`
}

// Run asks a backend whether it can serve: the health check of an image that has
// no shell and no other program.
func (c *healthCmd) Run(a *app) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return badInput(fmt.Errorf("--url %.80q: want http://HOST:PORT", c.URL))
	}
	if c.Within <= 0 {
		return badInput(fmt.Errorf("--within %v: want more than 0", c.Within))
	}
	return environment(answers(a.ctx, u.JoinPath(wire.PathReady).String(), c.Within))
}

// answers asks a URL once; nil = it answers 200.
func answers(ctx context.Context, url string, within time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: within}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no backend answers: %w", err)
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status is the answer
	if resp.StatusCode != http.StatusOK {
		line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		return fmt.Errorf("%s is not ready: %s: %.300s", url, resp.Status, line)
	}
	return nil
}
