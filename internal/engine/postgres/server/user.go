package server

import "fmt"

// User is whom a server runs as. The zero User is not known yet; where we are not root it is ourselves.
type User struct {
	Name string
	UID  int
	GID  int

	home string
	drop bool // we are root and it is not
}

// UserError says why a server cannot be run as anybody.
type UserError struct {
	Text string
	Do   string
}

func (e *UserError) Error() string { return e.Text }

// Hint is what helps.
func (e *UserError) Hint() string { return e.Do }

// closedError says that a user cannot enter a folder on the way to the data.
func closedError(name, folder, dir string) error {
	return &UserError{
		Text: fmt.Sprintf("user %s cannot enter %s, which is on the way to %s", name, folder, dir),
		Do:   fmt.Sprintf("choose a folder that %s can enter, or: chmod o+x %s", name, folder),
	}
}
