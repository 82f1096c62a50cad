// Package lab makes hosts out of network namespaces, on one machine: each has an address of its own on one bridge, processes
// that can be killed or frozen together, and routes that can be cut in one direction or in both. Nothing outside of the
// namespaces is touched. It is for Linux, and for who may make namespaces.
package lab
