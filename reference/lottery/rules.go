package lottery

import (
	"fmt"

	"spillway/internal/policy"
)

// RulesText is the rules in words: what a seal's digest of them stands for.
func RulesText(r policy.LotteryRules) string {
	return fmt.Sprintf(`One entry a person, at any hour. It names a shop and a type of mask, and whether
another type in the same shop would do. It takes part in %[1]d draws.
It may be changed once a day, from %[2]s to %[3]s, and withdrawn at any hour.
The list of a day's draw closes at %[4]s on the evening before; what comes later is
for the next. It is drawn at %[5]s and published at %[6]s.
Every entry of a shop and type has the same chance: the smallest tickets win, where
a ticket is the SHA-256 of the draw's seed and the entry's id.
Where a type is sold out and another in the same shop is not, those who lost and
take another type are drawn again.
A tenth of each quota, rounded up, is on the reserve list, in the order of tickets.
Who has won waits %[7]d days. Who is 65 or older registers once for good.
No quota is above the stock.
`, r.Valid, clockTime(r.EditFrom), clockTime(r.EditUntil), clockTime(r.Seal), clockTime(r.Draw), clockTime(r.Publish), r.Wait)
}
