package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"spillway/reference"
)

type serveCmd struct {
	choice
	Config      string        `placeholder:"FILE" help:"Take the whole configuration as JSON from a file, or from standard input with -; the end of the input then stops the server."`
	Listen      string        `default:"127.0.0.1:8080" help:"Address of the visitor's part."`
	AdminListen string        `default:"127.0.0.1:8081" help:"Address of the admin part and /metrics."`
	AdminToken  string        `env:"SPILLWAY_ADMIN_TOKEN" help:"Token of the admin part; made and printed when empty."`
	Redis       string        `env:"SPILLWAY_REDIS" placeholder:"URL" help:"Redis instead of the embedded one: redis://HOST:PORT; a cluster with ?addr=HOST:PORT&addr=… behind it."`
	DB          string        `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"Database: sqlite:PATH keeps the file; postgres://USER:PASSWORD@HOST:PORT/NAME."`
	OpenIn      time.Duration `default:"10s" help:"Booking opens so long after the start."`
	Native      bool          `help:"No modelled slots and service times: the code's own capacity."`
}

// maxConfig bounds the configuration that is read, in bytes.
const maxConfig = 1 << 20

// closeWithin bounds a graceful stop: a full default queue drains in 5 s.
const closeWithin = 25 * time.Second

func (c *serveCmd) Run(a *app) error {
	cfg, err := c.configuration(a)
	if err != nil {
		return err
	}
	s, err := reference.Open(a.ctx, cfg)
	if err != nil {
		if errors.Is(err, reference.ErrEnvironment) {
			return environment(err)
		}
		return badInput(err)
	}
	ctx := a.ctx
	if c.Config == "-" {
		// The end of the input is the parent's word to stop, and also what is
		// seen when the parent dies.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(a.ctx)
		go func() {
			_, _ = io.Copy(io.Discard, a.stdin)
			cancel()
		}()
	}
	if err := json.NewEncoder(a.stdout).Encode(s.Ready().Public()); err != nil {
		return errors.Join(fmt.Errorf("printing the ready line: %w", err), s.Close(context.Background()))
	}
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	err = s.Close(closing)
	if errors.Is(err, reference.ErrEnvironment) {
		return environment(err)
	}
	return err
}

func (c *serveCmd) configuration(a *app) (reference.Config, error) {
	if c.Config == "" {
		sc, err := c.scaled()
		if err != nil {
			return reference.Config{}, err
		}
		cfg := backendConfig(sc)
		cfg.Listen, cfg.AdminListen, cfg.AdminToken = c.Listen, c.AdminListen, c.AdminToken
		cfg.Redis, cfg.Database = c.Redis, c.DB
		cfg.OpenAt = c.OpenIn
		cfg.Native = cfg.Native || c.Native
		return cfg, nil
	}
	var r io.Reader = a.stdin
	if c.Config != "-" {
		f, err := os.Open(c.Config)
		if err != nil {
			return reference.Config{}, badInput(fmt.Errorf("cannot read the configuration: %w", err))
		}
		defer f.Close()
		r = f
	} else {
		// One line: the rest of the input is the parent's leash.
		b := bufio.NewReaderSize(a.stdin, maxConfig)
		line, err := b.ReadSlice('\n')
		if err != nil {
			return reference.Config{}, badInput(fmt.Errorf("no configuration on standard input: want one line of JSON of at most %d bytes", maxConfig))
		}
		return decodeConfig(line)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return reference.Config{}, environment(fmt.Errorf("reading the configuration: %w", err))
	}
	return decodeConfig(text)
}
