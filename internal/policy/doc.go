// Package policy judges whether the promises made for a source are kept.
//
// Judge is a pure function: objectives, facts, what was remembered, and the time give findings and what to remember next.
// It reads no clock and asks nobody, so that a status line, a notice and a test come from the same call.
//
//	          breached            for its patience
//	kept  ──────────────▶ breached ──────────────▶ finding
//	 ▲  ◀──────────────      │                      │   ▲
//	 │    kept again         │            kept again│   │ breached again
//	 │                       │                      ▼   │
//	 └───────────────────────┴─────────────────── resting
//	                            for its rest
//
// A breach that passes is no finding, and a finding that is told does not flicker: it ends when the promise was kept for as
// long as its rest. Ages (of drills, checks, bases) fall to nothing when the work is done, so that they rest no time.
//
// Facts that are missing never make a promise look kept: what was never drilled, checked or seen counts from when the source
// came under protection.
package policy
