package store

// With returns s as a wrapper hands it on: with the extras that are not nil, and with no others, so that an assertion
// on the wrapper answers as one on the wrapped store does.
func With(s Store, l Locker, f Filer) Store {
	switch {
	case l != nil && f != nil:
		return struct {
			Store
			Locker
			Filer
		}{s, l, f}
	case l != nil:
		return struct {
			Store
			Locker
		}{s, l}
	case f != nil:
		return struct {
			Store
			Filer
		}{s, f}
	}
	return s
}
