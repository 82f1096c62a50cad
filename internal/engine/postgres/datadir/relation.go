package datadir

import (
	"path"
	"strconv"
	"strings"
)

// Relation is what the name of a relation's file says: "16384", "16384_vm", "16384.2", "t3_16390_fsm".
type Relation struct {
	Number  uint32 // of the file, not the OID of the relation
	Fork    Fork
	Segment uint32 // of 1 GiB, as a rule
	Temp    bool   // of one session
}

// Fork is a part of a relation with files of its own.
type Fork string

// The forks. Init is what an unlogged relation is made from after a crash.
const (
	Main       Fork = ""
	FreeSpace  Fork = "fsm"
	Visibility Fork = "vm"
	Init       Fork = "init"
)

// ParseRelation reads the last element of a name.
func ParseRelation(base string) (r Relation, ok bool) {
	if rest, temp := strings.CutPrefix(base, "t"); temp {
		backend, number, found := strings.Cut(rest, "_")
		if _, ok := parseNumber(backend); !ok || !found {
			return r, false
		}
		r.Temp, base = true, number
	}
	base, segment, segmented := strings.Cut(base, ".")
	if segmented {
		if r.Segment, ok = parseNumber(segment); !ok || r.Segment == 0 {
			return r, false
		}
	}
	number, fork, forked := strings.Cut(base, "_")
	if forked {
		switch r.Fork = Fork(fork); r.Fork {
		case FreeSpace, Visibility, Init:
		default:
			return r, false
		}
	}
	r.Number, ok = parseNumber(number)
	return r, ok && r.Number != 0
}

// parseNumber reads digits without a leading zero, as the server writes them.
func parseNumber(s string) (uint32, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// InRelationFolder reports whether name lies where the server keeps relations: global, base/N,
// pg_tblspc/N/PG_x/N.
func InRelationFolder(name string) bool { return isRelationFolder(path.Dir(name)) }

func isRelationFolder(folder string) bool {
	parts := strings.Split(folder, "/")
	switch {
	case folder == "global":
		return true
	case len(parts) == 2 && parts[0] == "base":
		_, ok := parseNumber(parts[1])
		return ok
	case len(parts) == 4 && parts[0] == "pg_tblspc" && strings.HasPrefix(parts[2], "PG_"):
		_, ok := parseNumber(parts[3])
		return ok
	}
	return false
}

// RelationOf is ParseRelation for a whole name; it is false for files outside the folders of relations.
func RelationOf(name string) (Relation, bool) {
	if !InRelationFolder(name) {
		return Relation{}, false
	}
	return ParseRelation(path.Base(name))
}
