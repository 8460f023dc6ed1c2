package crashtest

import (
	"spillway/internal/booking"
	"spillway/reference/stock"
)

type opKind int

const opSubmit opKind = 1

type input struct {
	kind opKind
	user booking.UserID
	item int
	key  string
}

type history struct{}

func (h *history) begin(int, input) func(stock.Result) { return func(stock.Result) {} }
