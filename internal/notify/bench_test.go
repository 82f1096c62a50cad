package notify

import (
	"fmt"
	"testing"
	"time"
)

// What a second costs a daemon with 2,000 open notices and two receivers.
func BenchmarkReport2000(b *testing.B) {
	w := newWorld(nil, map[string]Route{"slack": {}, "mail": {At: Critical}}, "slack", "mail")
	var all []Notice
	for i := range 2000 {
		all = append(all, rpo(fmt.Sprintf("db%04d", i), Warning))
	}
	w.report(all...)
	w.pass(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		w.report(all...)
	}
}
