// Package proxy carries the connections of applications to the member of a cluster that its Route names, and to no other.
//
// A Table holds the route.Route that counts. Routes are applied to it; the proxy decides nothing and knows no
// cluster. A route has an epoch, a state and a time for which it may be used:
//
//	serving(e) ──▶ holding(e) ──▶ closed(e+1) ──▶ serving(e+1)
//	    ▲               │ given up
//	    └───────────────┘
//
// While serving, everything is carried. While holding, what has begun may end and nothing new begins. While closed,
// nothing is carried: what can wait waits, without a connection to any member, and the rest is closed with an error that
// says what may be tried again. A route that nobody renews does the same as closed by itself: it fails closed.
// A route of a newer epoch, whatever its state, severs all that stands under an older one, also where the address is the
// same. What Table.Ack confirms as closed has happened: no byte passes to or from such a primary any more.
//
// A Listener takes connections and gives each to a Carrier, which speaks a protocol: carrier postgres keeps idle sessions
// through a change of primary; TCP here carries bytes it does not understand and can only close them.
//
// The time for which a route is valid counts on this process's own clock from the moment at which it was asked for, and
// goes on while the machine sleeps.
package proxy
