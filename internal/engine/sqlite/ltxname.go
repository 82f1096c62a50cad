package sqlite

import "fmt"

// parseFileName reads "0000000000000001-0000000000000003.ltx", as fileName writes it. It is called for each commit of a log, millions of times in a restore.
func parseFileName(name string) (from, to uint64, err error) {
	if len(name) == 37 && name[16] == '-' && name[33:] == ".ltx" {
		from, okFrom := parseHex(name[:16])
		to, okTo := parseHex(name[17:33])
		if okFrom && okTo && 0 < from && from <= to {
			return from, to, nil
		}
	}
	return 0, 0, fmt.Errorf("log file %q: the name is not that of an LTX file", name)
}

// parseHex reads sixteen digits, none of them a capital letter: a name stands for one file only.
func parseHex(s string) (n uint64, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
