package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// signature begins each header of the PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt §2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// maxHeader is the length of addresses and extras that is taken; more than that is not a balancer's greeting.
const maxHeader = 4096

var errHeader = errors.New("read the PROXY header: it is none of version 2")

// Header says for whom a balancer connects.
type Header struct {
	Local  bool           // the balancer itself: a health check
	Source netip.AddrPort // the client; not valid where the balancer does not say
}

// ReadHeader reads one header of the PROXY protocol, version 2, and not a byte more.
func ReadHeader(r io.Reader) (Header, error) {
	var fixed [16]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return Header{}, fmt.Errorf("read the PROXY header: %w", err)
	}
	if string(fixed[:12]) != signature || fixed[12]>>4 != 2 {
		return Header{}, errHeader
	}
	n := int(binary.BigEndian.Uint16(fixed[14:]))
	if n > maxHeader {
		return Header{}, fmt.Errorf("read the PROXY header: it has %d bytes, %d at most are taken", n, maxHeader)
	}
	rest := make([]byte, n)
	if _, err := io.ReadFull(r, rest); err != nil {
		return Header{}, fmt.Errorf("read the PROXY header: %w", err)
	}
	switch fixed[12] & 0xf {
	case 0:
		return Header{Local: true}, nil
	case 1:
		return address(fixed[13]>>4, rest)
	}
	return Header{}, errHeader
}

// address reads the source from the addresses of a family: 1 is IPv4, 2 is IPv6, others say nothing that is used here.
func address(family byte, b []byte) (Header, error) {
	size := map[byte]int{1: 4, 2: 16}[family]
	if size == 0 {
		return Header{}, nil
	}
	if len(b) < 2*size+4 {
		return Header{}, errHeader
	}
	ip, _ := netip.AddrFromSlice(b[:size])
	return Header{Source: netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[2*size:]))}, nil
}

func readHeader(conn net.Conn, within time.Duration) error {
	_ = conn.SetReadDeadline(time.Now().Add(within))
	if _, err := ReadHeader(conn); err != nil {
		return err
	}
	return conn.SetReadDeadline(time.Time{})
}
