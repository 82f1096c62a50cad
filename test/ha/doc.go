// Package ha runs clusters of real processes on hosts that are network namespaces (lab), kills, freezes and parts them
// while clients write, and judges what the clients were told (check). Its tests are for Linux and for root; elsewhere
// they are skipped, with the reason.
//
// One bridge; three hosts with a server and an agent (d1, d2, d3), three that vote (v1, v2, v3), two with the listeners that
// clients connect to (a1, a2).
package ha
