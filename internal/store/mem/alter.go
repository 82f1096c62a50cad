package mem

import (
	"bytes"
	"fmt"
	"io/fs"
)

// Alter puts what change makes of a copy of the object's bytes in its place, as somebody with a hex editor would do:
// behind the back of whoever trusts that objects never change.
func (s *Store) Alter(name string, change func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	if !ok {
		return fmt.Errorf("alter %s: %w", name, fs.ErrNotExist)
	}
	o.data = change(bytes.Clone(o.data))
	s.objects[name] = o
	return nil
}

// Clone returns a store of its own with the same objects: a copy of the repository as it stands now.
func (s *Store) Clone() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := New()
	for name, o := range s.objects {
		c.objects[name] = o
	}
	return c
}
