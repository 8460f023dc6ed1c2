package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"spillway/internal/policy"
	"spillway/reference"
	"spillway/scenarios"
)

// Micro-batches of the stock script are inside our code, so the similarity law
// does not scale them. A script call costs about the same for 1 submit as for 64
// on the embedded store; a millisecond fills a batch at the rates of one machine.
const (
	batchMax = 64
	linger   = time.Millisecond
)

// backendConfig maps a scaled scenario to the backend's configuration:
// capacities and policies, never the load.
func backendConfig(sc *scenarios.Scaled) reference.Config {
	g := sc.Gateway
	cfg := reference.Config{
		Mode: sc.Mode, OpenAt: sc.OpenAt, Seed: uint64(sc.Seed), Classes: sc.Population.Classes,
		Bots:   uint64(sc.Population.Users),
		Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Event: "spillway", Native: g.Native,
		Off: map[string]bool{},
		Edge: reference.EdgeConfig{ConfigLife: sc.Edge.ConfigLife, CatalogueLife: sc.Edge.CatalogueLife,
			ClientLife: sc.Visitor.ConfigLife, KeyOnQuery: sc.Edge.CacheKey == "url",
			CatalogueBytes: int(sc.Edge.CatalogueSize), OriginUnits: sc.Edge.OriginUnits},
		Admission: reference.AdmissionConfig{Gate: sc.Admission.Gate, Probability: sc.Admission.Probability,
			Period: sc.Admission.Period, Results: sc.Admission.Results},
		Gateway: reference.GatewayConfig{Instances: int(g.Instances), Capacity: sc.PooledCapacity(), UnitTime: g.UnitTime,
			ServiceCV: g.ServiceCV, StatusUnits: g.Status, PollUnits: g.Poll, SubmitUnits: g.Submit,
			Room: sc.RoomUnits(), DropAfter: g.DropAfter, InFlight: int(g.InFlight),
			Ladder:     policy.Ladder{NoResults: g.NoResults, NoLow: g.NoLow, TopOnly: g.TopOnly, Hold: g.LadderHold},
			RetryRatio: g.RetryRatio, RetryAfter: g.RetryAfter},
		Stock: reference.StockConfig{Items: sc.Items(), ClosedLife: sc.Stock.ClosedLife, BatchMax: batchMax, Linger: linger},
		Queue: reference.QueueConfig{Depth: int(sc.Queue.Depth), Attempts: int(sc.Queue.Attempts)},
		Ledger: reference.LedgerConfig{Rate: sc.Ledger.Rate, Every: sc.Ledger.Every, FlushEvery: sc.Ledger.FlushEvery,
			DatabaseRate: sc.Ledger.DatabaseRate, ReadUnits: sc.Ledger.Read, WriteUnits: sc.Ledger.Write},
	}
	for layer := range reference.Layers {
		if !sc.On(layer) {
			cfg.Off[layer] = true
		}
	}
	return cfg
}

// decodeConfig reads a configuration strictly: an unknown key is an error.
func decodeConfig(text []byte) (reference.Config, error) {
	var cfg reference.Config
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return cfg, badInput(fmt.Errorf("the configuration is not what serve reads: %w", err))
	}
	return cfg, nil
}
