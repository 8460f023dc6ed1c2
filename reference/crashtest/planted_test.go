package crashtest

import (
	"github.com/redis/go-redis/v9"

	"spillway/reference/ledger"
)

type bug struct {
	hook   func(*world) redis.Hook
	keeper func(*world, ledger.Keeper) ledger.Keeper
	source func(*world, ledger.Source) ledger.Source
}
