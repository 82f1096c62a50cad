// Package systemd speaks to the service manager: it says that the daemon is ready, reloads, stops and is alive, and finds
// the credentials that the unit hands over.
//
// Outside of systemd, and on other systems, all of it does nothing: no variable, no message. It promises never to block:
// a manager that does not read loses messages, and the next one says the same. It starts nothing of its own and knows nothing of
// the daemon.
package systemd
