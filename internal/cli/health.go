package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, u.JoinPath(wire.PathReady).String(), nil)
	if err != nil {
		return badInput(err)
	}
	client := http.Client{Timeout: c.Within}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return environment(fmt.Errorf("no backend answers: %w", err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10)) // the status is the answer
	if resp.StatusCode != http.StatusOK {
		return environment(fmt.Errorf("the backend at %s is not ready: %s", c.URL, resp.Status))
	}
	return nil
}
