package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Serve answers on l, as id, until ctx ends; l is closed then. Questions under way are broken off: all are idempotent.
func Serve(ctx context.Context, l net.Listener, id Identity, p Parts) error {
	s := &http.Server{
		Handler:           Handler(p),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // strangers who try the port are no news
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(tls.NewListener(l, id.Server())) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	err := s.Close()
	if serr := <-ended; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
