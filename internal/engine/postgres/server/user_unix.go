//go:build unix

package server

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Owner says whom a server on dir runs as: ourselves or, as PostgreSQL refuses root, the owner of dir, or "postgres"
// where that is root or dir is not there.
func Owner(dir string) (User, error) {
	if os.Geteuid() != 0 {
		return lookup(strconv.Itoa(os.Geteuid()), os.Getegid(), false)
	}
	info, err := os.Stat(dir)
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return lookup(strconv.Itoa(int(st.Uid)), int(st.Gid), true)
		}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return User{}, &UserError{Text: "PostgreSQL refuses to run as root, and there is no user postgres", Do: "useradd --system postgres, or run backstay as the user who owns the data"}
	}
	return lookup(u.Uid, 0, true)
}

// lookup finds a user by number; one without a name goes by its number, with the group given.
func lookup(uid string, gid int, drop bool) (User, error) {
	n, err := strconv.Atoi(uid)
	if err != nil {
		return User{}, fmt.Errorf("look up user %s: %w", uid, err)
	}
	u, err := user.LookupId(uid)
	if err != nil {
		return User{Name: uid, UID: n, GID: gid, home: "/", drop: drop}, nil
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return User{}, fmt.Errorf("look up user %s: %w", uid, err)
	}
	return User{Name: u.Username, UID: n, GID: gid, home: u.HomeDir, drop: drop}, nil
}

// groups are the numbers of all groups that it is in.
func (u User) groups() []uint32 {
	all := []uint32{uint32(u.GID)}
	found, err := (&user.User{Uid: strconv.Itoa(u.UID), Gid: strconv.Itoa(u.GID), Username: u.Name}).GroupIds()
	if err != nil {
		return all
	}
	for _, g := range found {
		if n, err := strconv.Atoi(g); err == nil && n != u.GID {
			all = append(all, uint32(n))
		}
	}
	return all
}

// Apply lets cmd, which has no SysProcAttr yet, run as the user.
func (u User) Apply(cmd *exec.Cmd) {
	if u.drop {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: u.groups()}}
	}
}

// Give makes the user the owner of path and all that is in it. Links are not followed.
func (u User) Give(path string) error {
	if !u.drop {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return u.own(p)
	})
	if err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, u.Name, err)
	}
	return nil
}

// own is Give for one file, which may be missing.
func (u User) own(path string) error {
	if !u.drop {
		return nil
	}
	if err := os.Lchown(path, u.UID, u.GID); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// Reaches says whether the user can enter dir, a *UserError naming the first folder that is closed to it if not.
func (u User) Reaches(dir string) error {
	if !u.drop {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	groups := u.groups()
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if !u.enters(info, groups) {
			return closedError(u.Name, p, dir)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// enters reads the permission bits as the kernel does: the first class that fits decides.
func (u User) enters(info fs.FileInfo, groups []uint32) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	bit := fs.FileMode(0o001)
	if int(st.Uid) == u.UID {
		bit = 0o100
	} else {
		for _, g := range groups {
			if g == st.Gid {
				bit = 0o010
			}
		}
	}
	return info.Mode()&bit != 0
}
