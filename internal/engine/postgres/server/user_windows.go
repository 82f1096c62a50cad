package server

import (
	"fmt"
	"os/exec"
	"os/user"
)

// Owner says whom a server runs as: ourselves.
func Owner(string) (User, error) {
	u, err := user.Current()
	if err != nil {
		return User{}, fmt.Errorf("look up the user: %w", err)
	}
	return User{Name: u.Username, home: u.HomeDir}, nil
}

// Apply lets cmd run as the user: it does.
func (u User) Apply(*exec.Cmd) {}

// Give makes the user the owner of path: it is.
func (u User) Give(string) error { return nil }

func (u User) own(string) error { return nil }

// Reaches says whether the user can enter dir: as we do.
func (u User) Reaches(string) error { return nil }
