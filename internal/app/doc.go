// Package app puts the parts together: it is the only package that names engines and stores, in two tables. It opens
// what backstay.yaml describes, runs it as a daemon, and carries out what a command asks for.
//
// One folder has one daemon: whoever changes its state holds the lock in .backstay. Commands that only read
// repositories need no lock and no daemon. On disk, beside backstay.yaml:
//
//	backstay.key          the key that can read; meant to be moved away (0600)
//	.backstay/            everything below is this host's own (0700)
//	  lock                who runs here
//	  signer              the key that this host signs ledgers and reports with (0600)
//	  control.sock        how commands reach the daemon
//	  NAME/spool          log that no repository has yet
//	  NAME/engine         what the engine keeps
//	  NAME/seen/REPO      the last checkpoint seen of each repository
//	  NAME/trusted        the verifier keys that this host pinned
//	  drill/              scratch folders of drills
package app
