package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"spillway/internal/policy"
	"spillway/reference/lottery"
	"spillway/reference/lottery/console"
	"spillway/reports/page"
)

type lotteryConsoleCmd struct {
	Bundle   string `default:"bundle" aliases:"dir" placeholder:"DIR" help:"The bundle's folder; the list is open while it does not exist."`
	Listen   string `default:"127.0.0.1:8090" help:"Address of the page."`
	Anywhere bool   `help:"Listen on an address that other machines reach. The token then travels: put TLS in front."`
	Key      string `env:"SPILLWAY_LOTTERY_KEY" placeholder:"FILE" help:"The operator's Ed25519 key, read when the draw is made; without it the console draws nothing."`
	Secret   string `placeholder:"FILE" help:"The operator's secret. Default: DIR.secret."`
	Day      string `placeholder:"DATE" help:"The day whose hours are shown while the list is open."`
	Clock    string `placeholder:"TIME" help:"In a rehearsal: where the console's clock starts, as in 2020-02-19T14:59:30+08:00. Default: half a minute before the draw is due."`
}

// tokenEnv holds the console's admin token. There is no flag: others see a command line.
const tokenEnv = "SPILLWAY_ADMIN_TOKEN"

// Help is the command's longer help.
func (c *lotteryConsoleCmd) Help() string {
	return "The admin token is in " + tokenEnv + "; without it one is made by chance and printed once."
}

func (c *lotteryConsoleCmd) Run(a *app) error {
	if err := c.checkListen(); err != nil {
		return badInput(err)
	}
	o, made, err := c.options()
	if err != nil {
		return badInput(err)
	}
	con, err := console.New(o)
	if err != nil {
		return badInput(err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return errors.Join(environment(fmt.Errorf("--listen %s: %w", c.Listen, err)), con.Close())
	}
	fmt.Fprintf(a.stdout, "console  http://%s/\n", l.Addr())
	if made {
		fmt.Fprintf(a.stdout, "token    %s   made now and shown only here\n", o.Token)
	}
	err = con.Serve(a.ctx, l)
	return environment(errors.Join(err, con.Close()))
}

// checkListen refuses an address that others reach, unless that is meant.
func (c *lotteryConsoleCmd) checkListen() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: want HOST:PORT", c.Listen)
	}
	if ip := net.ParseIP(host); c.Anywhere || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--listen %s: other machines reach it, and the admin token would travel in the clear; say --anywhere when TLS is in front", c.Listen)
}

// options are what the flags come to, and whether the token was made.
func (c *lotteryConsoleCmd) options() (o console.Options, made bool, err error) {
	o = console.Options{Dir: c.Bundle, Now: time.Now, Token: os.Getenv(tokenEnv), Style: page.Style(),
		List:     func(w io.Writer, l lottery.ShopList) error { return writeList(w, l) },
		FileName: func(l lottery.ShopList) string { return fileName(l.Area + "-" + l.Shop) }, Fairness: consoleFairness}
	switch {
	case o.Token == "":
		var b [24]byte
		if _, err := rand.Read(b[:]); err != nil {
			return o, false, err
		}
		o.Token, made = hex.EncodeToString(b[:]), true
	case len(o.Token) < console.TokenLeast:
		return o, false, fmt.Errorf("%s: a token of %d characters: want %d or more, made by chance", tokenEnv, len(o.Token), console.TokenLeast)
	}
	if c.Clock != "" {
		if o.From, err = time.Parse(time.RFC3339, c.Clock); err != nil {
			return o, false, fmt.Errorf("--clock %s: want a moment as in 2020-02-19T14:59:30+08:00", c.Clock)
		}
	}
	if c.Day != "" {
		day, err := policy.ParseDay(c.Day)
		if err != nil {
			return o, false, fmt.Errorf("--day: %w", err)
		}
		s := sealOf(lotteryRules(), day, "")
		o.Due = &s
	}
	if c.Key != "" {
		if _, err := readKey(c.Key); err != nil { // now rather than at the hour of the draw
			return o, false, err
		}
		o.Keys = c.keys
	}
	return o, made, nil
}

// keys reads the operator's key and secret.
func (c *lotteryConsoleCmd) keys() (ed25519.PrivateKey, lottery.Secret, error) {
	key, err := readKey(c.Key)
	if err != nil {
		return nil, lottery.Secret{}, err
	}
	secret, err := readSecret(secretFile(c.Secret, c.Bundle))
	return key, secret, err
}
