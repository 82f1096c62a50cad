package keeper

import (
	"fmt"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// TestAStateThatWasLostIsReinstated: the members know epochs that it does not.
func TestAStateThatWasLostIsReinstated(t *testing.T) {
	for _, gone := range []string{"an older copy", "all of it"} {
		run(t, three, func(w *world) {
			k, stop := w.keep(w.config())
			w.settle()
			old, _, err := Read(w.t.Context(), w.store, "cluster-shop")
			if err != nil {
				w.t.Fatal(err)
			}
			w.kill("db1")
			w.until("db3 takes over", 5*time.Second, serves("db3"))
			w.commit(7)
			if k.Status().State.Epoch != 2 {
				w.t.Fatal("it is no news that is lost")
			}
			stop()
			if gone == "all of it" {
				old = cluster.State{}
			}
			if _, err := Change(w.t.Context(), w.store, "cluster-shop", func(s *cluster.State) error { *s = old; return nil }); err != nil {
				w.t.Fatal(err)
			}
			time.Sleep(time.Second)
			if _, absent, err := Reinstate(w.t.Context(), w.config(), "anna", "the voters burnt", false); err == nil || fmt.Sprint(absent) != "[db1]" {
				t.Errorf("with db1 dead: %v, absent %v", err, absent)
			}
			s, _, err := Reinstate(w.t.Context(), w.config(), "anna", "the voters burnt", true)
			if err != nil || s.Epoch < 1002 || s.Phase != cluster.Fencing || s.Primary != "" || s.Timeline != 2 {
				t.Errorf("%s: %+v, %v", gone, s, err)
			}
			_, end := w.keep(w.config())
			w.until("it serves again", 10*time.Second, serves(""))
			w.commit(1)
			w.whole()
			end()
		})
	}
}

func TestKeysArePlain(t *testing.T) {
	for name, want := range map[string]string{"shop": "cluster-shop", "a.b/c": "cluster-a_2eb_2fc", "a_b": "cluster-a_5fb"} {
		if got := Key(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestAPrimaryThatAnswersIsHeard when a state is reinstated: what it counts is on record again.
func TestAPrimaryThatAnswersIsHeard(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		w.settle()
		stop()
		time.Sleep(time.Second)
		if _, err := Change(w.t.Context(), w.store, "cluster-shop", func(s *cluster.State) error { *s = cluster.State{}; return nil }); err != nil {
			w.t.Fatal(err)
		}
		s, absent, err := Reinstate(w.t.Context(), w.config(), "anna", "the voters burnt", false)
		if err != nil || len(absent) > 0 || s.Primary != "db1" || len(s.Quorums) != 1 || s.Quorums[0].K != 1 || s.Request != nil {
			t.Errorf("%+v, %v, %v", s, absent, err)
		}
		_, end := w.keep(w.config())
		defer end()
		w.until("it serves again", 10*time.Second, serves(""))
		w.commit(1)
		w.whole()
	})
}
