// Package server runs a private PostgreSQL server of ours: on restored data, for replay, drills and tests.
//
// It keeps one child process, the postmaster, from Start to Stop. The server listens on a socket in a folder that only
// its user and root can enter, and on TCP only where it is asked to. Everything that it is told goes on its command
// line: no file in the data directory is changed. It gets no environment of ours beyond language, time zone and paths,
// so no key or password reaches its user. On Linux it ends with the process that started it, however that ends;
// elsewhere a killed process leaves it running. Signals go to our own child alone.
//
// As root, programs run as the owner of the data directory, or as "postgres" where that is root.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Config says what to start.
type Config struct {
	Programs Programs          // of the data's major version; see Find
	Dir      string            // the data directory
	User     User              // whom it runs as; zero means Owner(Dir)
	Settings map[string]string // on the command line; they win over everything else

	// Own leaves archiving, jobs, subscriptions, standby settings, access rules, TLS and logging as the data
	// directory has them, for a server that is handed over. Where it listens is still said here.
	Own bool

	// Listen is the TCP address, host:port; "" means that it listens on no TCP port.
	Listen string
	// SocketDir is where the socket is; "" means a folder of its own that Stop removes.
	SocketDir string
	// HBA are the lines of pg_hba.conf; "" lets whoever can enter SocketDir be any role. Own and the setting
	// hba_file turn it off.
	HBA string

	// Line is called with each line that the server logs, from a goroutine of the server; nil means nobody.
	Line func(string)
	// LogFile takes what the server logs instead; the server then outlives this process, and its folder for the socket is
	// swept when it has ended and the next one is started on this host. "" means that it does not.
	LogFile string

	// Files stay open in the server and in all that it starts, numbered from 3 on as in exec.Cmd. They stay the caller's
	// to close.
	Files []*os.File
}

// Server is one running server. Its methods may be called from several goroutines.
type Server struct {
	config Config
	folder *folder
	child  *child
	tail   *tail
}

// port names the socket, and is the TCP port where none is asked for.
const port = "5432"

// Start starts it and returns at once; see Ready. ctx bounds nothing but the start: who starts a server stops it.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL in %s: %w", c.Dir, err)
	}
	return s, nil
}

func start(ctx context.Context, c Config) (_ *Server, err error) {
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	if c.User == (User{}) {
		if c.User, err = Owner(c.Dir); err != nil {
			return nil, err
		}
	}
	if err := c.User.Reaches(c.Dir); err != nil {
		return nil, err
	}
	f, err := newFolder(c)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, folder: f, tail: &tail{line: c.Line}}
	arguments, err := c.arguments(f)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		s.child, err = s.spawn(arguments)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return s, nil
}

// spawn starts the postmaster with its log going to the tail, or to the file.
func (s *Server) spawn(arguments []string) (*child, error) {
	cmd := s.config.Programs.Command(s.config.User, "postgres", arguments...)
	cmd.Dir = s.config.Dir
	cmd.ExtraFiles = slices.Clone(s.config.Files)
	cmd.WaitDelay = 5 * time.Second // a stray process of the server may hold the log open
	if s.config.LogFile == "" {
		cmd.Stdout, cmd.Stderr = s.tail, s.tail
		return spawn(cmd, diesWithUs)
	}
	log, err := os.OpenFile(s.config.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if s.folder.holder != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.folder.holder)
	}
	child, err := spawn(cmd, outlivesUs)
	return child, errors.Join(err, s.folder.held())
}

// PID is that of the postmaster.
func (s *Server) PID() int { return s.child.cmd.Process.Pid }

// SocketDir is where its socket is.
func (s *Server) SocketDir() string { return s.folder.path }

// DSN is how a client of this host reaches it through its socket.
func (s *Server) DSN(user, database string) string {
	u := url.URL{Scheme: "postgres", Path: "/" + database}
	if user != "" {
		u.User = url.User(user)
	}
	u.RawQuery = url.Values{"host": {s.folder.path}, "port": {s.config.port()}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.child.done }

// Tail is the end of what it logged, some kilobytes.
func (s *Server) Tail() string {
	if s.config.LogFile != "" {
		return endOf(s.config.LogFile)
	}
	return s.tail.String()
}
