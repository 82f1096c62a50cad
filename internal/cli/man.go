package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// manPage is backstay(1): all commands on one page.
func manPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".TH BACKSTAY 1 \"\" \"Backstay\" \"User Commands\"\n.SH NAME\nbackstay \\- keep databases recoverable, and prove it\n")
	b.WriteString(".SH SYNOPSIS\n.B backstay\n.I command\n.RI [ options ]\n.SH DESCRIPTION\n" + roff(root.Long) + "\n.SH COMMANDS\n")
	for _, cmd := range shown(root) {
		fmt.Fprintf(&b, ".SS %s\n.nf\n%s\n.fi\n", roff(strings.TrimPrefix(cmd.UseLine(), "backstay ")), roff(cmd.Long))
		for _, r := range flagRows(cmd) {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(r[0]), roff(r[2]))
		}
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range exits {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", e.code, roff(e.meaning))
	}
	b.WriteString(".SH FILES\n.TP\n.I backstay.yaml\nwhat is protected and where its history goes\n.TP\n.I backstay.key\nthe key that can read it\n.TP\n.I .backstay/\nstate of this host\n")
	return b.String()
}

// roff escapes what troff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
