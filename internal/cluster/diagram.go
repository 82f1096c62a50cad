package cluster

import (
	"fmt"
	"strings"
)

// Diagram draws the table for people, as Mermaid's state diagram and as a list of the rows in their order. docs/design has the copy.
func Diagram() string {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> forming\n")
	for _, r := range table {
		if r.In != r.To {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", r.In, r.To, r.Name)
		}
	}
	b.WriteString("```\n\n| in | row | if | then |\n|---|---|---|---|\n")
	for _, r := range table {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.In, r.Name, r.conditions(), r.then())
	}
	return b.String()
}

func (r *Row) conditions() string {
	if len(r.If) == 0 {
		return "else"
	}
	names := make([]string, len(r.If))
	for i, c := range r.If {
		names[i] = c.String()
	}
	return strings.Join(names, ", ")
}

func (r *Row) then() string {
	switch {
	case r.In != r.To:
		return "→ " + string(r.To)
	case r.Change != nil:
		return "the state is changed"
	case r.Act != nil:
		return "steps"
	default:
		return "nothing is done"
	}
}

// Rows are the names of the table's rows, in its order.
func Rows() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}
