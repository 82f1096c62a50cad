// Package notify tells people in time what Backstay cannot mend itself, and does not tell them twice.
//
// What is reported is level, not edge: Report gets all that lasts, each time, and the notifier finds what has changed for
// each receiver. So a crash anywhere loses nothing that is still so. Events that happened once go through Tell. On its way to
// one receiver a matter passes stages of one method each:
//
//	Report, Tell → matters ┬→ routing → escalation → dedupe → quiet → group → message → outbox → Sender
//	                       └→ … one such way for each receiver
//
//	routing     what is for this receiver
//	escalation  only what nobody ended or acknowledged in time
//	dedupe      what began, rose in severity, has lasted for another day, or ended
//	quiet       only what is critical during quiet hours; the rest at their end
//	group       a moment together, so that a storm is one message; a longer moment while there is one
//
// A matter that comes and goes more than three times a day is told as such, then once a day, and ends when it has been away
// for six hours. So the number of messages is bounded by the number of matters and days, whatever flaps.
//
// The state of all that is one plain value, kept as one file. Messages are files beside it until the receiver has taken them:
// written, synced, and counted by the state, before the first attempt. Each is sent at least once with the same ID, also
// after a kill. Attempts go on with back-off for a day, for each receiver on its own; at most 256 messages wait for one. A
// receiver that takes nothing is itself a critical notice to all others, and stands in Status; that all of them are dead shows
// from outside, when the ping of notify/ping stays away. A disk that takes nothing makes messages wait in memory.
//
// The package sends nothing itself: Senders do (mail, webhook, alertmanager, and shout for chats), and package notifytest
// holds them to their duties. It decides nothing about what is worth a notice: policy does.
package notify
