package watch

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
)

func TestChecksOfOthers(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 21, hour, 0, 0, 0, time.UTC) }
	bad := []repository.Damage{{Object: "base/b1/pack-00001", Detail: "digest"}}
	shallow, deep := Checked{At: at(2)}, Checked{At: at(3), Deep: true}
	for name, c := range map[string]struct {
		known  checked
		others []Checked
		want   checked
	}{
		"nothing":                           {checked{Shallow: at(1)}, nil, checked{Shallow: at(1)}},
		"the first":                         {checked{}, []Checked{shallow}, checked{Shallow: at(2)}},
		"an older one":                      {checked{Shallow: at(5)}, []Checked{shallow}, checked{Shallow: at(5)}},
		"a deep one reads all":              {checked{Shallow: at(1)}, []Checked{deep, shallow}, checked{Shallow: at(3), Deep: at(3)}},
		"a deep one, older than ours":       {checked{Shallow: at(5)}, []Checked{deep}, checked{Shallow: at(5), Deep: at(3)}},
		"damage that only a deep one finds": {checked{Shallow: at(5)}, []Checked{{At: at(3), Deep: true, Damage: bad}}, checked{Shallow: at(5), Deep: at(3), Since: at(3), DeepFound: true, Damage: []string{"base/b1/pack-00001: digest"}}},
		"damage that was found later stays": {checked{Shallow: at(5), Since: at(5), Damage: []string{"x"}}, []Checked{deep}, checked{Shallow: at(5), Deep: at(3), Since: at(5), Damage: []string{"x"}}},
		"the same again":                    {checked{Shallow: at(3), Deep: at(3)}, []Checked{deep}, checked{Shallow: at(3), Deep: at(3)}},
	} {
		got := c.known.told(c.others)
		if !got.Shallow.Equal(c.want.Shallow) || !got.Deep.Equal(c.want.Deep) || !got.Since.Equal(c.want.Since) || got.DeepFound != c.want.DeepFound || len(got.Damage) != len(c.want.Damage) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
