package check

import "fmt"

// Bank says whether each sum that was read is total.
func Bank(all []Operation, total int64) error {
	for _, o := range all {
		if o.Kind == "sum" && o.Outcome == Happened && o.Value != total {
			return fmt.Errorf("client %d read a sum of %d at %s, want %d", o.Client, o.Value, o.Answered, total)
		}
	}
	return nil
}
