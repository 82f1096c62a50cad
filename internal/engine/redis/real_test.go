package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/redis/redistest"
)

func memberAt(t *testing.T, s *redistest.Server) engine.Looker {
	t.Helper()
	l, err := (Engine{}).Member("redis://" + s.Address() + "?auth=env:KV_AUTH")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// lookAt asks a server until it is as wanted.
func lookAt(t *testing.T, l engine.Looker, what string, want func(engine.Sight) bool) (s engine.Sight) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s, err = l.Look(t.Context()); err == nil && want(s) {
			return s
		}
	}
	t.Fatalf("%s is never %s: %+v, %v", l.Address(), what, s, err)
	return s
}

// TestRealServers asks a primary and its replica: who writes, how far each is, and what is wrong.
func TestRealServers(t *testing.T) {
	t.Setenv("KV_AUTH", redistest.Password)
	primary, replica := redistest.New(t), redistest.New(t)
	replica.Follow(t, primary)
	p, r := memberAt(t, primary), memberAt(t, replica)
	first := lookAt(t, p, "primary", func(s engine.Sight) bool { return s.Role == engine.RolePrimary && s.Version != "" })
	follows := func(s engine.Sight) bool { return s.Role == engine.RoleReplica && s.Broken == "" }
	lookAt(t, r, "a replica that follows", follows)
	primary.Exec(t, "SET k "+strings.Repeat("v", 1000))
	at := lookAt(t, p, "further", func(s engine.Sight) bool { return s.Position.Seq >= first.Position.Seq+1000 })
	lookAt(t, r, "where its primary is", func(s engine.Sight) bool { return follows(s) && s.Position.Seq >= at.Position.Seq })
	if got := replica.Exec(t, "STRLEN k"); got != ":1000" {
		t.Errorf("the replica has %s bytes", got)
	}

	t.Setenv("KV_AUTH", "wrong")
	var refused *ServerError
	if _, err := memberAt(t, replica).Look(t.Context()); !errors.As(err, &refused) || strings.Contains(err.Error(), "wrong ") {
		t.Errorf("with another password: %v", err)
	}
	primary.Kill()
	lookAt(t, r, "a replica whose primary is gone", func(s engine.Sight) bool {
		return s.Role == engine.RoleReplica && strings.Contains(s.Broken, "is down")
	})
	if s, err := p.Look(t.Context()); err == nil {
		t.Errorf("a dead server answers: %+v", s)
	}
	replica.Promote(t)
	if s := lookAt(t, r, "primary", func(s engine.Sight) bool { return s.Role == engine.RolePrimary }); s.Broken != "" || s.Position.Seq < at.Position.Seq {
		t.Errorf("promoted: %+v", s)
	}
}
