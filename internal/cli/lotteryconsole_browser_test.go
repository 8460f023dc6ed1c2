//go:build browser

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// The draw of a made-up day, on the console in a real browser: the public sees the
// countdown, the operator draws and publishes, the winners appear without a reload.
// SPILLWAY_SCREENSHOTS names a folder for pictures of it.
func TestBrowserConsole(t *testing.T) {
	consoleBundle(t, "30000")
	ctx := browser(t)
	public, admin := tab(t, ctx), tab(t, ctx)
	defer public.close() // before the servers stop
	defer admin.close()

	// An hour before: the countdown goes down, by the server's clock.
	url := consoleAt(t, "--clock", "2020-02-19T14:00:00+08:00")
	public.open(url)
	var first string
	public.until("a countdown", func() bool {
		first = public.text("#left")
		return strings.HasPrefix(first, "59:") && public.text("#until") == "until the beacon’s value can be known"
	})
	public.until("the countdown to go down", func() bool { s := public.text("#left"); return s != "" && s < first })
	if got := public.text(".steps .is"); got != "sealed" {
		t.Errorf("state %q", got)
	}
	public.picture("sealed")

	// At the hour.
	url = consoleAt(t, "--clock", "2020-02-19T14:59:57+08:00")
	public.open(url)
	admin.open(url)
	for _, p := range []*onPage{public, admin} {
		p.eval("window.mark = 1")
		p.until("the hour", func() bool {
			return p.text("#until") == "The draw can be made" && p.text(".steps .is") == "beacon known"
		})
	}
	admin.do(chromedp.SendKeys(chromedp.ID("token"), consoleToken+"\r"))
	admin.until("the desk to open", func() bool { return !admin.truth(`document.getElementById("acts").disabled`) })
	value, err := filepath.Abs("value.json")
	if err != nil {
		t.Fatal(err)
	}
	admin.do(chromedp.SendKeys(chromedp.ID("who"), "Ada"), chromedp.SetUploadFiles(chromedp.ID("upload"), []string{value}))
	admin.until("the value", func() bool { return admin.truth(`document.getElementById("value").value.includes("witnesses")`) })
	admin.do(chromedp.Click(chromedp.ID("do-draw")))
	if got := admin.text(".steps .is"); got != "beacon known" {
		t.Errorf("one press drew: %q", got)
	}
	admin.do(chromedp.Click(chromedp.ID("do-draw")))
	admin.until("the draw, and its winners for the operator", func() bool {
		return admin.text(".steps .is") == "drawn" && len(admin.text(".seed")) >= 64 && admin.truth(`!!document.querySelector("#winners")`)
	})
	public.until("the draw for the public", func() bool { return public.text(".steps .is") == "drawn" })
	if public.truth(`!!document.querySelector("#winners, .seed") || document.body.innerText.includes("seed ")`) {
		t.Error("the public sees winners or the seed before they are published")
	}
	public.picture("drawn")
	admin.picture("desk")

	admin.do(chromedp.Click(chromedp.ID("do-publish")), chromedp.Click(chromedp.ID("do-publish")))
	public.until("the winners", func() bool {
		return public.text(".steps .is") == "published" && public.truth(`document.querySelectorAll("[data-part=winners] tbody tr").length > 100`)
	})
	public.do(chromedp.Click(chromedp.CSS(`[data-part="winners"] tbody a`)))
	public.until("the list of a shop", func() bool { return public.text("#list") == "Express, Express" })
	public.do(chromedp.Click(chromedp.CSS(`#list ~ .scroll tbody a`)))
	public.until("the proof of a winner", func() bool { return public.text("[data-part=entry] .word") == "WON" })
	public.picture("published")
	public.until("the proof to hold", func() bool {
		proof := public.fetch(url + public.eval(`document.querySelector("a[data-save]").getAttribute("href").slice(1)`).(string))
		if err := os.WriteFile("proof.json", proof, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := spillway("lottery", "verify", "--proof", "proof.json")
		if code != 0 || !strings.Contains(out, "WON") {
			t.Errorf("%d: %s%s", code, out, errs)
		}
		return true
	})
	public.eval(`document.getElementById("entry").value = ""`)
	public.do(chromedp.SendKeys(chromedp.ID("entry"), strings.Repeat("0", 32)+"\r"))
	public.until("the proof of nobody", func() bool { return public.text("[data-part=entry] .word") == "NOT IN THE LIST" })
	public.do(chromedp.SendKeys(chromedp.ID("lines"), "express"))
	public.until("one line", func() bool {
		return public.truth(`document.querySelectorAll("[data-part=lines] tbody tr").length === 1`)
	})
	for _, p := range []*onPage{public, admin} {
		if !p.truth("window.mark === 1") {
			t.Error("the page was loaded again")
		}
	}
	if code, out, errs := spillway("lottery", "verify"); code != 0 {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	_, audit, _ := spillway("lottery", "audit")
	for _, want := range []string{`"Ada"  draw`, `"Ada"  publish`} {
		if !strings.Contains(strings.Join(strings.Fields(audit), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no line %s in\n%s", want, audit)
		}
	}
}

// browser starts a headless browser. There must be one.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox) // root has no sandbox to itself
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("no browser: %v; install Debian's package chromium", err)
	}
	return ctx
}

// onPage is a tab that fails the test on any error or warning in its console, such as a
// violation of the page's policy.
type onPage struct {
	t     *testing.T
	ctx   context.Context
	close func()
}

func tab(t *testing.T, parent context.Context) *onPage {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	said := chromedp.Console(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		for m, err := range said {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
				t.Errorf("the browser's console says: %v", m)
			}
		}
	})
	p := &onPage{t, ctx, func() { cancel(); wait.Wait() }}
	p.size(1400, 900)
	return p
}

func (p *onPage) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *onPage) open(url string) { p.t.Helper(); p.do(chromedp.Navigate(url)) }

func (p *onPage) size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

func (p *onPage) eval(expression string) any {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *onPage) truth(expression string) bool { p.t.Helper(); return p.eval(expression) == true }

// text is what an element shows; "" when there is none.
func (p *onPage) text(selector string) string {
	p.t.Helper()
	s, _ := p.eval(fmt.Sprintf(`(document.querySelector(%q)?.textContent ?? "").trim()`, selector)).(string)
	return s
}

// until waits for something to come about, a minute at most.
func (p *onPage) until(what string, yes func() bool) {
	p.t.Helper()
	for range 600 {
		if yes() {
			return
		}
		time.Sleep(100 * time.Millisecond) // a page tells nobody when it changes
	}
	p.t.Fatalf("waited a minute for %s; the page shows:\n%s", what, p.eval("document.body.innerText"))
}

func (p *onPage) fetch(url string) []byte {
	p.t.Helper()
	r, err := http.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %d, %v: %s", url, r.StatusCode, err, b)
	}
	return b
}

// picture sees that nothing is wider than the page, on a wide screen and a telephone,
// in light and dark, and keeps what it looks like.
func (p *onPage) picture(name string) {
	p.t.Helper()
	for _, width := range []int64{1400, 390} {
		p.size(width, 900)
		if over := p.eval("document.documentElement.scrollWidth"); over != float64(width) {
			p.t.Errorf("%s: %v pixels wide on a screen of %d", name, over, width)
		}
		dir := os.Getenv("SPILLWAY_SCREENSHOTS")
		if dir == "" {
			continue
		}
		for _, scheme := range []string{"light", "dark"} {
			p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				return err
			}))
			shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), shot, 0o600)
			}
			if err != nil {
				p.t.Fatal(err)
			}
		}
	}
	p.size(1400, 900)
}
