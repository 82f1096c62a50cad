package check

import (
	"testing"
	"time"
)

func TestFiguresAt(t *testing.T) {
	var f Figures
	if got := f.At(0.99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	for i := range 100 {
		f = append(f, time.Duration(100-i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.9: 90, 0.99: 99, 1: 100} {
		if got := f.At(q); got != want {
			t.Errorf("%v of 1 to 100: %d, want %d", q, got, want)
		}
	}
}
