package archive

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// aged makes objects whose name holds "aaaaaa" look two days old.
type aged struct{ store.Store }

func (a aged) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	return a.Store.List(ctx, prefix, func(o store.Object) error {
		if strings.Contains(o.Name, "aaaaaa") {
			o.Created = o.Created.Add(-48 * time.Hour)
		}
		return visit(o)
	})
}

// TestSweepOfWhatInterruptedWorkLeft: the daemon removes it by itself when it is old enough, and nothing that is young.
func TestSweepOfWhatInterruptedWorkLeft(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		const old, young = "app/base/20261120T000000Z-aaaaaa/pack-00001", "app/base/20261120T000000Z-bbbbbb/pack-00001"
		for _, name := range []string{old, young} {
			if err := h.stores[0].Put(t.Context(), name, strings.NewReader("x"), -1); err != nil {
				t.Fatal(err)
			}
		}
		h.wrap = func(_ int, s store.Store) store.Store { return aged{s} }
		d := h.start()
		d.shipped()
		time.Sleep(copiesTick + time.Minute)
		if _, err := h.stores[0].Stat(t.Context(), old); err == nil {
			t.Error("what was left two days ago is there")
		}
		if _, err := h.stores[0].Stat(t.Context(), young); err != nil {
			t.Errorf("what another writer may be busy with is gone: %v", err)
		}
		d.stop()
		h.proveAll()
	})
}
