package freeport

import (
	"net"
	"testing"
)

// TestAPortIsOneTestsUntilItEnds: its server may not listen there yet, or be stopped.
func TestAPortIsOneTestsUntilItEnds(t *testing.T) {
	first := 0
	t.Run("holder", func(t *testing.T) {
		first = Ports(t, 3)
		for port := first; port < first+3; port++ {
			l, err := net.Listen("tcp", at(port))
			if err != nil {
				t.Fatalf("its own server can't listen: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := claim(port); err == nil {
				t.Errorf("another gets %d too", port)
			}
		}
		if _, ok := claimAll(first+2, 2); ok {
			t.Error("another gets a row that begins in this one")
		}
	})
	release, ok := claimAll(first, 3)
	if !ok {
		t.Fatalf("nobody gets %d to %d after it", first, first+2)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

func TestAPortThatIsTakenIsNoOnes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := claim(l.Addr().(*net.TCPAddr).Port); err == nil {
		t.Error("a port at which somebody listens counts as free")
	}
	left, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatalf("what was no port for a test is still held: %v", err)
	}
	if err := left.Close(); err != nil {
		t.Error(err)
	}
}
