// Package crash kills, damages and starves the whole binary and then asks one question: is what was reported durable
// there, and exactly that?
//
// The binary is built once, with the tag crashtest, so that it can also be killed at every named step
// (internal/killpoint). The writer is a Python program in a process of its own. BACKSTAY_SOAK=1 runs the long forms.
package crash
