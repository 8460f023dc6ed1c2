package reference

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"spillway/internal/booking"
	"spillway/internal/wire"
)

// Every metric that the deployment's rules and dashboard name is one that a gateway
// or a writer has, or one that the rules record.
func TestRulesAndDashboardNameMetrics(t *testing.T) {
	c, _ := shared(t)
	w := serve(t, as(RoleWriter, c))
	g := serve(t, as(RoleGateway, c))
	want(t, "a submit", g.submitAs(t, 1, "k", 0), booking.Queued)
	want(t, "a status call", g.statusAs(t, 1), booking.Open)
	drained(t, w)
	known := map[string]bool{}
	metric := regexp.MustCompile(`(?m)^(spillway_[a-z_]+)[{ ]`)
	until(t, "a sample of the queue in the metrics", func() bool {
		for _, s := range []*Stack{w, g} {
			for _, m := range metric.FindAllStringSubmatch(call(t, "GET", s.Ready().AdminURL+wire.PathMetrics, "").body, -1) {
				known[m[1]] = true
			}
		}
		return known["spillway_queue_depth_entries"]
	})
	var texts []string
	for _, file := range []string{"../docker/prometheus/rules.yml", "../docker/grafana/dashboard.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	for _, m := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(texts[0], -1) {
		known[m[1]] = true
	}
	names := regexp.MustCompile(`spillway[_:][a-z0-9_:]+`).FindAllString(strings.Join(texts, "\n"), -1)
	if len(names) < 20 {
		t.Errorf("only %d names of metrics in rules and dashboard", len(names))
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("no process has the metric %s", name)
		}
	}
}

// The files of the deployment name the same gateways: sixteen in the compose file,
// at the addresses that the edge asks, with the names that Prometheus and control ask.
func TestDeploymentFilesAgree(t *testing.T) {
	read := func(file string) string {
		b, err := os.ReadFile("../docker/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	compose := read("compose.yaml")
	services := regexp.MustCompile(`(?m)^  (gateway\d+|writer\d+): `).FindAllStringSubmatch(compose, -1)
	addresses := regexp.MustCompile(`gateway: \{ipv4_address: (198\.18\.77\.1\d\d)\}`).FindAllStringSubmatch(compose, -1)
	if len(services) != 18 || len(addresses) != 16 {
		t.Fatalf("%d gateways and writers, %d addresses; want 18 and 16", len(services), len(addresses))
	}
	for _, a := range addresses {
		if !strings.Contains(read("edge/nginx.conf"), "server "+a[1]+":8080 ") {
			t.Errorf("the edge does not ask %s", a[1])
		}
	}
	for _, s := range services {
		if !strings.Contains(compose, "http://"+s[1]+":8081") {
			t.Errorf("control does not speak for %s", s[1])
		}
		if !regexp.MustCompile(`[\[ ]` + s[1] + `:8081[,\]]`).MatchString(read("prometheus/prometheus.yml")) {
			t.Errorf("Prometheus does not ask %s", s[1])
		}
	}
}
