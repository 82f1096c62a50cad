package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// idle measures the memory that idle sessions take.
func idle(ctx context.Context, o options) error {
	stub, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stub.Close()
	go answer(stub)
	h, err := backstay(stub.Addr().String(), "")
	if err != nil {
		return err
	}
	defer h.stop()
	empty, err := h.resident()
	if err != nil {
		return err
	}
	conns := make([]net.Conn, o.idle)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var all sync.WaitGroup
	failed := make(chan error, o.idle)
	slots := make(chan struct{}, 50)
	for i := range conns {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			var err error
			if conns[i], err = login(h.address); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return nil
	}
	full, err := h.resident()
	if err != nil {
		return err
	}
	fmt.Printf("%d idle sessions: %.1f MB resident, %.1f MB without them, %.1f KB each\n", o.idle, float64(full)/1e6, float64(empty)/1e6, float64(full-empty)/float64(o.idle)/1e3)
	return nil
}

// login logs in and asks once.
func login(address string) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	body := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		return c, err
	}
	if err := ready(c); err != nil {
		return c, err
	}
	if _, err := c.Write([]byte("Q\x00\x00\x00\x0dselect 1\x00")); err != nil {
		return c, err
	}
	return c, ready(c)
}

func ready(c net.Conn) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[1:]))-4); err != nil {
			return err
		}
		if head[0] == 'Z' {
			return nil
		}
	}
}

// answer is a server that lets everyone in and has no data.
func answer(l net.Listener) {
	const hello = "R\x00\x00\x00\x08\x00\x00\x00\x00" + "S\x00\x00\x00\x19client_encoding\x00UTF8\x00" + "K\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x02" + "Z\x00\x00\x00\x05I"
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:]))-4); err != nil {
				return
			}
			if _, err := io.WriteString(c, hello); err != nil {
				return
			}
			b := make([]byte, 64)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := io.WriteString(c, "C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"); err != nil {
					return
				}
			}
		}()
	}
}
