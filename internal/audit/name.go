package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// folder holds the logs in every store. No source may be called that.
const folder = "audit"

// NameOf is what the log of a host is called that signs with signer: the host's name, in letters that every store takes,
// and the number of the key. With a new key a new log begins, which cannot be mistaken for the old one.
func NameOf(host string, signer *ledger.Signer) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(host)) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String()[:min(b.Len(), 64)], "-")
	if name == "" {
		name = "host"
	}
	// A verifier key is NAME+HASH+KEY, and the name holds no plus sign.
	parts := strings.SplitN(signer.Verifier(), "+", 3)
	return name + "-" + parts[1]
}

// List returns the names of the logs in a store.
func List(ctx context.Context, s store.Store) ([]string, error) {
	var names []string
	err := s.List(ctx, folder+"/", func(o store.Object) error {
		if name, _, _, ok := place(o.Name); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list audit logs in %s: %w", s, err)
	}
	return names, nil
}

// place takes the name of an object apart: the log, the volume, and the object in the volume's ledger.
func place(object string) (log string, volume int, rest string, ok bool) {
	parts := strings.SplitN(object, "/", 4)
	if len(parts) < 4 || parts[0] != folder || len(parts[2]) != volumeDigits {
		return "", 0, "", false
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil || n < 0 {
		return "", 0, "", false
	}
	return parts[1], n, parts[3], true
}

const volumeDigits = 6

// prefix is that of a volume's ledger, and the origin that its checkpoints are signed for.
func prefix(log string, volume int) string {
	return fmt.Sprintf("%s/%s/%0*d", folder, log, volumeDigits, volume)
}

// contents are the objects of one volume in a store, relative to its ledger.
type contents map[string]store.Object

// checkpoints are the names of the checkpoints in ascending order.
func (c contents) checkpoints() []string {
	var names []string
	for name := range c {
		if strings.HasPrefix(name, "checkpoint/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// listing gives the volumes of a log in a store.
func listing(ctx context.Context, s store.Store, log string) (map[int]contents, error) {
	volumes := map[int]contents{}
	err := s.List(ctx, folder+"/"+log+"/", func(o store.Object) error {
		_, volume, rest, ok := place(o.Name)
		if !ok {
			return nil
		}
		if volumes[volume] == nil {
			volumes[volume] = contents{}
		}
		volumes[volume][rest] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list audit log %s in %s: %w", log, s, err)
	}
	return volumes, nil
}

// newestOf is the highest volume, -1 if there is none.
func newestOf(volumes map[int]contents) int {
	newest := -1
	for n := range volumes {
		newest = max(newest, n)
	}
	return newest
}

func validLog(name string) error {
	if err := store.ValidName(name); err != nil || strings.Contains(name, "/") {
		return errors.Join(fmt.Errorf("audit log %q: the name is not one of a log", name), err)
	}
	return nil
}
