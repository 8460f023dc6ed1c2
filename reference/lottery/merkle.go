package lottery

import (
	"bytes"
	"crypto/sha256"
)

// The tree is that of RFC 6962 section 2.1 (RFC 9162 the same): a leaf's hash has
// 0x00 before its data, a node's 0x01 before its children, so that no node passes
// for a leaf; n leaves split at the largest power of two below n.

// leafHash is the hash of a leaf that is an entry.
func leafHash(entry []byte) Hash {
	var b [1 + EntryBytes]byte
	copy(b[1:], entry)
	return sha256.Sum256(b[:])
}

func nodeHash(left, right *Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// rootOf is the root over nodes of one level, which it overwrites. Carrying a last
// node without a sister upwards gives the tree that splits at powers of two.
func rootOf(level []Hash) Hash {
	if len(level) == 0 {
		return sha256.Sum256(nil) // RFC 6962: the empty tree
	}
	for len(level) > 1 {
		level = nextLevel(level)
	}
	return level[0]
}

func nextLevel(level []Hash) []Hash {
	n := 0
	for i := 0; i < len(level); i += 2 {
		if i+1 == len(level) {
			level[n] = level[i]
		} else {
			level[n] = nodeHash(&level[i], &level[i+1])
		}
		n++
	}
	return level[:n]
}

// pathOf is the way from node i of a level to the root: the sisters, lowest first.
// It overwrites the level.
func pathOf(level []Hash, i int) (path []Hash) {
	for len(level) > 1 {
		if sister := i ^ 1; sister < len(level) {
			path = append(path, level[sister])
		}
		level = nextLevel(level)
		i /= 2
	}
	return path
}

// included reports whether a leaf stands at index of the tree of size leaves with
// that root (RFC 9162 section 2.1.3.2).
func included(root, leaf Hash, index, size int64, path []Hash) bool {
	if index < 0 || index >= size {
		return false
	}
	fn, sn, r := index, size-1, leaf
	for i := range path {
		if sn == 0 {
			return false
		}
		if fn&1 == 1 || fn == sn {
			r = nodeHash(&path[i], &r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = nodeHash(&r, &path[i])
		}
		fn, sn = fn>>1, sn>>1
	}
	return sn == 0 && bytes.Equal(r[:], root[:])
}
