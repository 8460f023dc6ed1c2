package reference

import (
	"bytes"
	"fmt"

	"spillway/reference/edge"
)

// catalogue makes one language's catalogue: its items with their stock, padded to
// the stated size with spaces, which JSON allows at its end. The two languages
// are objects of their own with lives of their own, as the original's were.
func catalogue(language string, c Config) edge.Object {
	shop := "Shop %d"
	if language == "zh" {
		shop = "药店 %d"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"language":%q,"items":[`, language)
	for i, n := range c.Stock.Items {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"item":%d,"shop":%q,"reservations":%d}`, i, fmt.Sprintf(shop, i+1), n)
	}
	b.WriteString("]}")
	if pad := c.Edge.CatalogueBytes - b.Len(); pad > 0 {
		b.Write(bytes.Repeat([]byte{' '}, pad))
	}
	body := b.Bytes()
	return edge.Object{Body: body, ETag: edge.Tag(body), Life: c.Edge.CatalogueLife}
}

// catalogues are both, in the order of Stack.object: zh, en.
func catalogues(c Config) [2]edge.Object {
	return [2]edge.Object{catalogue("zh", c), catalogue("en", c)}
}
