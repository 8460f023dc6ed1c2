package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"spillway/reference"
)

type serveCmd struct {
	choice
	Config      string         `placeholder:"FILE" help:"Take the whole configuration as JSON from a file, or from standard input with -; the end of the input then stops the server."`
	Listen      string         `default:"127.0.0.1:8080" help:"Address of the visitor's part."`
	AdminListen string         `default:"127.0.0.1:8081" help:"Address of the admin part and /metrics."`
	AdminToken  string         `env:"SPILLWAY_ADMIN_TOKEN" help:"Token of the admin part; made and printed when empty."`
	Redis       string         `env:"SPILLWAY_REDIS" placeholder:"URL" help:"Redis instead of the embedded one: redis://HOST:PORT; a cluster with ?addr=HOST:PORT&addr=… behind it."`
	DB          string         `name:"db" env:"SPILLWAY_DB" placeholder:"URL" help:"Database: sqlite:PATH keeps the file; postgres://USER:PASSWORD@HOST:PORT/NAME."`
	OpenIn      *time.Duration `placeholder:"10s" help:"Booking opens so long after the start; with a role, when the scenario says."`
	Role        string         `default:"all" enum:"all,gateway,writer,control" help:"Part of a deployment: gateways and writers share Redis, the database and the secret; control speaks for all of them."`
	Secret      string         `env:"SPILLWAY_SECRET" placeholder:"TEXT" help:"Keys tickets and phone numbers; 32 characters or more, the same in all processes of a deployment. Better given by the environment."`
	Phones      bool           `help:"A person is told by the phone number of the submit; wants a secret."`
	Share       string         `placeholder:"1/N" help:"A gateway's part of the pooled limits, as in 1/16."`
	Members     []string       `placeholder:"URL" help:"Admin URLs that control speaks for; comma or repeated."`
	ReceiptKey  string         `placeholder:"FILE" help:"Signs the receipts of lottery entries: an Ed25519 key in PEM, as openssl genpkey -algorithm ed25519 makes it."`
	Native      bool           `help:"No modelled slots and service times: the code's own capacity."`
}

// maxConfig bounds the configuration that is read, in bytes.
const maxConfig = 1 << 20

// closeWithin bounds a graceful stop: a full default queue drains in 5 s.
const closeWithin = 25 * time.Second

// service is what a role runs.
type service interface {
	Ready() reference.Ready
	Close(ctx context.Context) error
}

func (c *serveCmd) Run(a *app) error {
	cfg, err := c.configuration(a)
	if err != nil {
		return err
	}
	var s service
	if cfg.Role == reference.RoleControl {
		s, err = reference.OpenControl(a.ctx, cfg)
	} else {
		s, err = reference.Open(a.ctx, cfg)
	}
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
	if floor := cfg.Floor(); floor != "" {
		fmt.Fprintln(a.stderr, floor)
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

// openIn is when booking opens after the start of a backend without a role.
const openIn = 10 * time.Second

// parseShare reads 1/16, or nothing.
func parseShare(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	if of, ok := strings.CutPrefix(text, "1/"); ok {
		if n, err := strconv.ParseUint(of, 10, 16); err == nil && n > 0 {
			return 1 / float64(n), nil
		}
	}
	return 0, fmt.Errorf("--share %q: write 1/N, as in 1/16 for one of sixteen gateways", text)
}

func (c *serveCmd) configuration(a *app) (reference.Config, error) {
	if c.Config == "" {
		sc, err := c.scaled()
		if err != nil {
			return reference.Config{}, err
		}
		cfg := backendConfig(sc)
		cfg.Listen, cfg.AdminListen, cfg.AdminToken = c.Listen, c.AdminListen, c.AdminToken
		cfg.Secret, cfg.Phones = c.Secret, c.Phones
		cfg.Redis, cfg.Database = c.Redis, c.DB
		if c.ReceiptKey != "" {
			f, err := os.Open(c.ReceiptKey)
			if err != nil {
				return cfg, badInput(fmt.Errorf("cannot read the receipt key: %w", err))
			}
			defer f.Close()
			key, err := io.ReadAll(io.LimitReader(f, maxConfig))
			if err != nil {
				return cfg, badInput(fmt.Errorf("cannot read the receipt key: %w", err))
			}
			cfg.ReceiptKey = string(key)
		}
		cfg.Native = cfg.Native || c.Native
		cfg.Members = c.Members
		if c.Role != "all" {
			cfg.Role = c.Role
		}
		switch {
		case c.OpenIn != nil:
			cfg.OpenAt = *c.OpenIn
		case cfg.Role == reference.RoleAll:
			cfg.OpenAt = openIn
		}
		if cfg.Share, err = parseShare(c.Share); err != nil {
			return cfg, badInput(err)
		}
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
