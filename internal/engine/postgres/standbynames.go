package postgres

import (
	"slices"
	"strconv"
	"strings"
)

// standbyNames is a value of synchronous_standby_names.
type standbyNames struct {
	quorum bool // any of names will do; else the first that are there
	number int  // so many have to confirm
	names  []string
}

// parseStandbyNames reads "a, b", "2 (a, b)", "FIRST 1 (a, b)", "ANY 2 (*)". The server has checked it.
func parseStandbyNames(s string) standbyNames {
	n := standbyNames{number: 1}
	if head, list, ok := cutList(s); ok {
		words := strings.Fields(head)
		n.quorum = len(words) == 2 && strings.EqualFold(words[0], "any")
		if len(words) > 0 {
			n.number, _ = strconv.Atoi(words[len(words)-1])
		}
		s = list
	}
	for len(s) > 0 {
		var word string
		if s = strings.TrimLeft(s, " \t\r\n,"); strings.HasPrefix(s, `"`) {
			end := 1
			for ; end < len(s); end++ {
				if s[end] == '"' {
					if end+1 == len(s) || s[end+1] != '"' {
						break
					}
					end++
				}
			}
			word, s = strings.ReplaceAll(s[1:min(end, len(s))], `""`, `"`), s[min(end+1, len(s)):]
		} else {
			end := strings.IndexByte(s+",", ',')
			word, s = strings.TrimSpace(s[:end]), s[end:]
		}
		if word != "" {
			n.names = append(n.names, word)
		}
	}
	return n
}

// cutList cuts "FIRST 1 (a, b)" into its head and its list. A parenthesis in a quoted name of a plain list is none.
func cutList(s string) (head, list string, ok bool) {
	head, list, ok = strings.Cut(s, "(")
	if !ok || strings.Contains(head, `"`) {
		return "", s, false
	}
	list = strings.TrimSpace(list)
	return head, strings.TrimSuffix(list, ")"), true
}

// index is the place of a standby in the list, -1 if it has none; any says that it has it by a star.
func (n standbyNames) index(name string) (at int, any bool) {
	at = slices.IndexFunc(n.names, func(s string) bool { return s == "*" || strings.EqualFold(s, name) })
	return at, at >= 0 && n.names[at] == "*"
}

// others reports whether the list names others too.
func (n standbyNames) others() bool { return len(n.names) > 1 || n.names[0] == "*" }
