package scratch

import (
	"errors"
	"fmt"
	"os"
)

// Lend makes a folder as New does, for child processes that may outlive this one: it belongs to whoever holds the file
// that it returns, this process or one that inherited it, and is swept when the last of them has ended. The caller
// closes the file once its child has it. Where locks cannot be inherited the error is errors.ErrUnsupported.
func Lend(root string) (*Dir, *os.File, error) {
	if !lendable {
		return nil, nil, errors.ErrUnsupported
	}
	for {
		d, err := New(root)
		if err != nil {
			return nil, nil, err
		}
		holder, err := d.lend()
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("make scratch folder: %w", err), d.Close())
		}
		if holder != nil {
			return d, holder, nil
		}
	}
}

// lend passes the lock from d to a file that can be inherited; nil if a sweeper came between.
func (d *Dir) lend() (*os.File, error) {
	holder, err := os.OpenFile(d.owner, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := d.lock.Close(); err != nil {
		return nil, errors.Join(err, holder.Close())
	}
	locked, err := lockFile(holder)
	if err != nil {
		return nil, errors.Join(err, holder.Close())
	}
	if _, gone := os.Stat(d.path); !locked || gone != nil {
		return nil, holder.Close()
	}
	return holder, nil
}
