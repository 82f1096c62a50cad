package main

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

func TestDistribution(t *testing.T) {
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i))
	}
	s := newDistribution(d)
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := s.at(q); got != want {
			t.Errorf("at %v: got %d, want %d", q, got, want)
		}
	}
	if got := newDistribution(nil).at(0.99); got != 0 {
		t.Errorf("of nothing: got %d, want 0", got)
	}
	if got := measure.MedianTime([]time.Duration{4, 1, 3, 2}); got != 2 {
		t.Errorf("median of four: got %d, want 2", got)
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{"2GB": 2 << 30, "1.5MB": 3 << 19, "64kb": 64 << 10, "123": 123} {
		if got, err := measure.ParseSize(in); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", in, got, err, want)
		}
	}
	if _, err := measure.ParseSize("much"); err == nil {
		t.Error("\"much\" is a size")
	}
}
