package cli

// Groups order the commands in the help.
const (
	groupProtect = "protect"
	groupRecover = "recover"
	groupProve   = "prove"
	groupReach   = "reach"
	groupInfo    = "info"
)

var groups = []struct{ id, title string }{
	{groupProtect, "Protect:"},
	{groupRecover, "Recover:"},
	{groupProve, "Prove:"},
	{groupReach, "Keep reachable:"},
	{groupInfo, "Know:"},
}

const targetHelp = `The target of --to is
  latest                      everything that is durable (the default)
  2026-11-20T10:15:00Z        a time; "2026-11-20 10:15:00", "10:15" and "10 minutes ago" are read in the zone of this host
  immediate                   the newest base, with as little log as it needs
  txid:42, before-txid:42     SQLite: a transaction as Backstay numbers them, or just before it
  xid:731, before-xid:731     PostgreSQL: a transaction as the server numbers them, or just before it
  lsn:0/16B3748               PostgreSQL: a place in the log
  name:before-migration       PostgreSQL: a point that pg_create_restore_point named
  position:1/42               a position as history prints it`

// table is every command. Help, completion, man pages and docs/reference come from it.
func table() []entry {
	return []entry{
		{
			use: "protect URL", group: groupProtect, args: arity{1, 1}, changes: true,
			short: "Protect a database from now on",
			long: `Makes or extends backstay.yaml in the current folder, the repository, and, where no recipient is given, its key backstay.key;
takes the first base backup and follows the log in the foreground, showing what is durable where. It never asks. Run again in the
same folder it goes on where it stopped. Ctrl-C ends it cleanly.

URL is sqlite:FILE. Stores are folders (./repo, the default) and buckets (s3://bucket/prefix?endpoint=https://...), which take
their credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws. With several --store the same history goes to each.

Move backstay.key off this host: protect needs no key that can read, only restore, drill and check --deep do. With --recipient no
key is made here at all.`,
			example: `backstay protect sqlite:./app.db
backstay protect sqlite:./app.db --store ./repo --store s3://bucket/app
backstay protect sqlite:./app.db --recipient age1...`,
			make: func() command { return &protectOptions{} },
		},
		{
			use: "unprotect SOURCE", group: groupProtect, args: arity{1, 1}, changes: true,
			short: "End the protection of a source",
			long: `Drops at the source what was made there for Backstay (SQLite: nothing), takes the source out of backstay.yaml and removes its
state on this host. Its history stays in the repositories. It refuses while log waits on this host that no repository has.`,
			example: "backstay unprotect app",
			make:    func() command { return &unprotectOptions{} },
		},
		{
			use: "run", group: groupProtect, args: arity{0, 0}, changes: true,
			short:   "Protect all sources of backstay.yaml, as a daemon",
			long:    "Runs in the foreground, logs to the standard error, and ends cleanly on SIGTERM: what systemd and containers want.",
			example: "backstay run --config /etc/backstay/backstay.yaml",
			make:    func() command { return &runOptions{} },
		},
		{
			use: "backup [SOURCE]", group: groupProtect, args: arity{0, 1}, changes: true, lists: true,
			short:   "Take a full base backup now",
			long:    "Asks the daemon of this folder if one runs, else takes it alone.",
			example: "backstay backup app",
			make:    func() command { return &backupOptions{} },
		},
		{
			use: "status [SOURCE]", group: groupInfo, args: arity{0, 1}, lists: true,
			short:   "Show what is protected, and how far behind each repository is",
			long:    "Asks the daemon of this folder if one runs, else reads the repositories.",
			example: "backstay status\nbackstay status app --json",
			make:    func() command { return &statusOptions{} },
		},
		{
			use: "history [SOURCE]", group: groupRecover, args: arity{0, 1}, lists: true,
			short:   "List base backups, recovery windows and gaps",
			long:    "Reads the repositories; needs no key. With --store it needs no backstay.yaml either.",
			example: "backstay history app\nbackstay history app --store s3://bucket/app",
			make:    func() command { return &historyOptions{} },
		},
		{
			use: "restore [SOURCE]", group: groupRecover, args: arity{0, 1}, changes: true, lists: true,
			short: "Recover a source to a moment, into a new folder",
			long: `Prints the plan, then fetches the base, replays the log to the target and checks the result. The folder must be empty or not be
there; nothing is overwritten. A database file keeps its name.

` + targetHelp + `

On a bare machine, without backstay.yaml, --store and --key say where the repository and its key are.`,
			example: `backstay restore app --to "10 minutes ago" --into ./restored
backstay restore app --to before-txid:42 --into ./restored --dry-run
backstay restore --store s3://bucket/app --key ./backstay.key --into ./restored`,
			make: func() command { return &restoreOptions{} },
		},
		{
			use: "drill [SOURCE]", group: groupProve, args: arity{0, 1}, lists: true, changes: true,
			short: "Prove that a source can be recovered",
			long: `Restores to a scratch folder, opens the data with the real engine, asserts that it stands exactly at the target, runs structure
checks, takes the times, writes a signed report and cleans up. Besides the targets of restore, --to takes
random: a random base and moment, and one time in four the tip.

` + targetHelp,
			example: "backstay drill app\nbackstay drill app --to random",
			make:    func() command { return &drillOptions{} },
		},
		{
			use: "drill verify REPORT", group: groupProve, args: arity{1, 1}, lists: true,
			short:   "Verify the signature of a drill report, offline",
			long:    "Reads the report, or a page that drills --evidence made of it, and says who signed it and what it says; --signer pins the verifier key.",
			example: "backstay drill verify report.txt --signer backstay+...",
			make:    func() command { return &verifyOptions{} },
		},
		{
			use: "check [SOURCE]", group: groupProve, args: arity{0, 1}, lists: true,
			short: "Read a repository and compare everything with its signed log",
			long: `Verifies, without a key: signatures, the transparency log against the last checkpoint this host saw, the digest of every object,
and continuity. --deep decrypts and compares every block, which needs a key. It exits with 6 if anything is damaged.`,
			example: "backstay check app\nbackstay check app --deep\nbackstay check --store ./repo",
			make:    func() command { return &checkOptions{} },
		},
		{
			use: "plan [SOURCE]", group: groupInfo, args: arity{0, 1}, lists: true,
			short:   "Show what is due when, and why",
			long:    "Asks the daemon of this folder: bases, drills, checks and what is forgotten, each with when it comes, how it ended last, and the reason.",
			example: "backstay plan\nbackstay plan orders --json",
			make:    func() command { return &planOptions{} },
		},
		{
			use: "runs [SOURCE]", group: groupInfo, args: arity{0, 1}, lists: true,
			short:   "List what was done, and what came of it",
			long:    "The newest jobs that the daemon of this folder carried out.",
			example: "backstay runs\nbackstay runs orders --last 100",
			make:    func() command { return &runsOptions{} },
		},
		{
			use: "drills [SOURCE]", group: groupProve, args: arity{0, 1}, lists: true,
			short:   "List the drills that the repositories hold signed reports of",
			long:    "Reads and verifies the newest reports, those of other hosts too; needs no key.",
			example: "backstay drills orders\nbackstay drills orders --evidence ./audit-2026",
			make:    func() command { return &drillsOptions{} },
		},
		{
			use: "run-now SOURCE JOB", group: groupProtect, args: arity{2, 2}, changes: true,
			short:   "Have the daemon carry out a job now",
			long:    "JOB is as plan shows it: base/full, drill, check, deep-check or retention. It goes before hours and the order of jobs.",
			example: "backstay run-now orders drill",
			make:    func() command { return &runNowOptions{} },
		},
		{
			use: "pause SOURCE [JOB]", group: groupProtect, args: arity{1, 2}, changes: true,
			short:   "Keep the daemon from beginning jobs of a source",
			long:    "What runs is stopped where that is safe, and goes on when it is resumed. The log of the source is captured all the same. The audit log says who paused it.",
			example: "backstay pause orders --for 2h --reason \"moving disks\"\nbackstay pause orders drill",
			make:    func() command { return &pauseOptions{} },
		},
		{
			use: "resume SOURCE [JOB]", group: groupProtect, args: arity{1, 2}, changes: true,
			short:   "End a pause",
			long:    "What came due meanwhile is done once.",
			example: "backstay resume orders",
			make:    func() command { return &resumeOptions{} },
		},
		{
			use: "retention [SOURCE]", group: groupProtect, args: arity{0, 1}, lists: true, changes: true,
			short: "Forget what no rule keeps",
			long: `Decides for each repository of the source what may be forgotten, and drops it. With --dry-run it only prints the decision: what would
be dropped, and which rule keeps each of the rest. The daemon does the same once a day.`,
			example: "backstay retention orders --dry-run",
			make:    func() command { return &retentionOptions{} },
		},
		{
			use: "audit", group: groupProve,
			short: "Read and verify the record of what was done on this host",
			long:  "Bases, drops, restores, drills, checks, pauses, broken promises: who, what, why, and what came of it, in a log that shows every change to it.",
		},
		{
			use: "audit verify", args: arity{0, 0}, lists: true,
			short:   "Verify the audit log, offline, against what this host saw and against its copies",
			long:    "Reads all of it and compares it with the copies in the repositories that answer. It exits with 6 if anything was altered, left out or put back.",
			example: "backstay audit verify",
			make:    func() command { return &auditVerifyOptions{} },
		},
		{
			use: "audit export", args: arity{0, 0},
			short:   "Print the audit log",
			long:    "As JSON, one entry a line, or as CSV; each volume is verified before it is printed.",
			example: "backstay audit export --since 2026-11-01 --format csv > audit.csv",
			make:    func() command { return &auditExportOptions{} },
		},
		{
			use: "config", group: groupInfo,
			short: "Work with backstay.yaml",
			long:  "The file that says what is protected and what is promised.",
		},
		{
			use: "config check", args: arity{0, 0}, lists: true,
			short:   "Say whether backstay.yaml is right, and what it promises",
			long:    "Reads the file as the daemon does, and prints what holds for each source, its class included. It touches neither sources nor stores.",
			example: "backstay config check",
			make:    func() command { return &configCheckOptions{} },
		},
		{
			use: "key", group: groupProtect,
			short: "Show and change who can read a source's history",
			long:  "Each source has an identity of its own that its packs are sealed to. The identity is wrapped for every reader's key.",
		},
		{
			use: "key show [SOURCE]", args: arity{0, 1}, lists: true,
			short:   "List who can read, and who may sign",
			long:    "Reads the repository; needs no key.",
			example: "backstay key show app",
			make:    func() command { return &keyShowOptions{} },
		},
		{
			use: "key trust SOURCE KEY", args: arity{2, 2}, changes: true,
			short: "Let one more host sign",
			long: `KEY is the verifier key of another host of yours that drills and checks what this one captures; "run --only drill,check" prints it
there. Without a key that can read, this host could not tell it from a forger. The other host is invited by the daemon of this folder
when that starts again, and writes nothing before.`,
			example: "backstay key trust app backstay-drills+1a2b3c4d+AeS...",
			make:    func() command { return &keyTrustOptions{} },
		},
		{
			use: "key add SOURCE NAME RECIPIENT", args: arity{3, 3}, changes: true,
			short:   "Let one more key read",
			long:    "RECIPIENT is the public half of an age key. Adding needs a key that can read.",
			example: "backstay key add app alice age1...",
			make:    func() command { return &keyAddOptions{} },
		},
		{
			use: "key remove SOURCE NAME", args: arity{2, 2}, changes: true,
			short:   "Take a key off the list of readers",
			long:    "What the removed key could read it still can, if its owner kept a copy. Follow with key rotate, so that it reads nothing new.",
			example: "backstay key remove app alice",
			make:    func() command { return &keyRemoveOptions{} },
		},
		{
			use: "key rotate SOURCE", args: arity{1, 1}, changes: true,
			short:   "Seal what comes to a new identity",
			long:    "The old identities stay, wrapped for the readers of today, so that what is old stays readable for them. A daemon uses the new one as soon as it reads the ledger. With --rewrite all that is there is sealed to it, too: each object is read, decrypted, written anew, read back and compared before the old one is dropped. What somebody reads meanwhile is left, and named; run it again then, or after it broke off.",
			example: "backstay key rotate app\nbackstay key rotate app --rewrite",
			make:    func() command { return &keyRotateOptions{} },
		},
		{
			use: "cluster", group: groupReach,
			short: "Work with clusters: servers of which one is primary, behind one address",
			long: `backstay.yaml names the members of a cluster and the addresses at which applications reach it. "backstay run" leads clients to the
primary, holds them while there is none, and, where the file says so, makes another member primary when it is lost.`,
		},
		{
			use: "cluster init [CLUSTER]", args: arity{0, 1}, lists: true, changes: true,
			short: "Check that the members can be a cluster, and make what its hosts need",
			long: `Asks every member what it is, and says in plain words why they can't be a cluster, or which rights and settings are missing, with the
SQL that gives them. It changes nothing at the servers. Where several hosts work together it makes, on this one, the authority that certifies
them, and prints for each other host the command with which it joins. Run it again at any time: what is there stays.`,
			example: "backstay cluster init shop\nbackstay cluster init shop --dry-run",
			make:    func() command { return &clusterInitOptions{} },
		},
		{
			use: "cluster token HOST", args: arity{1, 1}, lists: true,
			short:   "Let one more host join",
			long:    "Prints a command for that host, good for one day and one use. Only the host where cluster init was run can do this.",
			example: "backstay cluster token ha3",
			make:    func() command { return &clusterTokenOptions{} },
		},
		{
			use: "cluster join TOKEN", args: arity{1, 1},
			short:   "Have this host join the others",
			long:    "Makes this host's key and has it certified by the host that gave the token, whose daemon must run. The key never leaves this host.",
			example: "backstay cluster join --host ha2 bsj1...",
			make:    func() command { return &clusterJoinOptions{} },
		},
		{
			use: "cluster status [CLUSTER]", args: arity{0, 1}, lists: true,
			short:   "Show who is primary, who follows, how far behind, and why",
			long:    "Asks the daemon of this folder if one runs, else the members themselves.",
			example: "backstay cluster status\nbackstay cluster status shop --json",
			make:    func() command { return &clusterStatusOptions{} },
		},
		{
			use: "cluster watch [CLUSTER]", args: arity{0, 1},
			short:   "Show the status of clusters as it changes",
			long:    "On a terminal the picture is drawn anew each second; elsewhere it is printed whenever something changed. Ctrl-C ends it.",
			example: "backstay cluster watch shop",
			make:    func() command { return &clusterWatchOptions{} },
		},
		{
			use: "cluster add-replica [CLUSTER] MEMBER", args: arity{1, 2}, lists: true, changes: true,
			short: "Fill an empty data directory, from the repository or from the primary, and have it follow",
			long: `Name the member in backstay.yaml on every host first, with host: and data:, and have the daemons read the file anew; on its own host the data
directory must be empty and belong to the user who runs the server, and the server's programs must be installed. The member's agent then does
this by itself; the command says so, and waits for it. Where the cluster is a source (url: "cluster:NAME") and the member's host has a key that
can read, the data come from the repository, and no member is read; else from the primary.`,
			example: "backstay cluster add-replica db3",
			make:    func() command { return &orderOptions{verb: "rejoin"} },
		},
		{
			use: "cluster pause [CLUSTER]", args: arity{0, 1}, lists: true, changes: true,
			short:   "Have no failover happen by itself",
			long:    "What a person asks for is still done, clients are led as before, and replicas are not told whom to follow. It lasts until cluster resume.",
			example: "backstay cluster pause shop --reason \"moving disks\"",
			make:    func() command { return &orderOptions{verb: "pause"} },
		},
		{
			use: "cluster resume [CLUSTER]", args: arity{0, 1}, lists: true, changes: true,
			short:   "End a pause",
			long:    "If the primary is lost by then, another one is made at once.",
			example: "backstay cluster resume shop",
			make:    func() command { return &orderOptions{verb: "resume"} },
		},
		{
			use: "cluster reinstate [CLUSTER]", args: arity{0, 1}, lists: true, changes: true,
			short: "Go on with a cluster whose coordination was lost or is an old copy",
			long: `For a coordination that was made anew or restored, so that it knows less than the members. Every member is asked, the epoch raised above all that
may have been given out, and a ballot held: who has most of the log is primary. "cluster voter recover" does this by itself.`,
			example: "backstay cluster reinstate shop --reason \"etcd was restored from a copy\"",
			make:    func() command { return &orderOptions{verb: "reinstate"} },
		},
		{
			use: "cluster voter", short: "Work with the hosts that keep together who is primary",
			long: `An odd number of hosts votes (coordination.embedded.peers); while a majority of them runs, another server can become primary. The file says
who shall vote, these commands bring that about, one step at a time and never without a majority.`,
		},
		{
			use: "cluster voter list", lists: true,
			short:   "Show who votes, who leads, and who answers",
			long:    "Asks the voters with this host's certificate.",
			example: "backstay cluster voter list",
			make:    func() command { return &voterListOptions{} },
		},
		{
			use: "cluster voter add HOST...", args: arity{1, -1}, lists: true, changes: true,
			short: "Have more hosts vote",
			long: `Write them into coordination.embedded.peers on every host first, and start Backstay on the new ones. Each is sent all that the others know before it
has a vote. An even number of voters is refused: add two, or replace one.`,
			example: "backstay cluster voter add ha4 ha5\nbackstay cluster voter add ha4 ha5 --dry-run",
			make:    func() command { return &voterChangeOptions{verb: "add"} },
		},
		{
			use: "cluster voter remove HOST...", args: arity{1, -1}, lists: true, changes: true,
			short: "Have hosts vote no more",
			long: `Take them out of coordination.embedded.peers on every host first. It is refused where no majority of the rest would answer, or an even number be
left. The folder of a removed voter is moved aside on its host.`,
			example: "backstay cluster voter remove ha4 ha5",
			make:    func() command { return &voterChangeOptions{verb: "remove"} },
		},
		{
			use: "cluster voter replace OLD [NEW]", args: arity{1, 2}, lists: true, changes: true,
			short: "Have one host vote in the place of another",
			long: `With one name the voter of that host begins anew, because its folder was lost. The new one is sent everything and given its vote before the old
one leaves; an old one that is dead leaves first, so that a majority stays as small as it was. Run again after it broke off, it goes on.`,
			example: "backstay cluster voter replace ha3 ha4\nbackstay cluster voter replace ha3",
			make:    func() command { return &voterChangeOptions{verb: "replace"} },
		},
		{
			use: "cluster voter recover", lists: true, changes: true,
			short: "Go on with the voter of this host alone, the others being lost for good",
			long: `Refused while a majority answers. What this voter knows may be older than what the members know, so each is asked before anybody else sees it,
and the epoch of every cluster is raised above all that may have been given out: nothing that was promised is taken back. Members that do
not answer are named, and --lose says that what only they know may be lost. The voter's folder of before is kept. Voters that come back later see
that they were removed. Add two more soon.`,
			example: "backstay cluster voter recover --dry-run\nbackstay cluster voter recover --reason \"the other two burnt\"",
			make:    func() command { return &voterRecoverOptions{} },
		},
		{
			use: "switchover [CLUSTER]", group: groupReach, args: arity{0, 1}, lists: true, changes: true,
			short: "Make another member primary, as planned",
			long: `Transactions run to their end and new ones wait; when the target has everything the old primary is stopped, the target promoted, and idle
sessions go on there. Nothing is lost and no session is broken, or it does not happen: the reason is printed and all is as before.`,
			example: "backstay switchover shop --to db2",
			make:    func() command { return &orderOptions{verb: "switchover"} },
		},
		{
			use: "failover [CLUSTER]", group: groupReach, args: arity{0, 1}, lists: true, changes: true,
			short: "Make another member primary because the old one is gone",
			long: `For clusters whose failover is manual, and where a person knows better. The same fences hold as for one that happens by itself: it is refused
where the old primary may still acknowledge writes, or where acknowledged ones would be lost, unless --lose says so. With --dry-run it says
what would be done now, and why.`,
			example: "backstay failover shop --dry-run\nbackstay failover shop --to db2 --reason \"db1 is on fire\"",
			make:    func() command { return &orderOptions{verb: "failover"} },
		},
		{
			use: "rejoin [CLUSTER] MEMBER", group: groupReach, args: arity{1, 2}, lists: true, changes: true,
			short: "Bring a member back as a replica of the primary",
			long: `Agents do this by themselves. The member is fenced, rewound where its log went its own way, or cloned where that is not possible; what would
be discarded is saved first.`,
			example: "backstay rejoin db1",
			make:    func() command { return &orderOptions{verb: "rejoin"} },
		},
		{
			use: "store", group: groupProve,
			short: "Work with stores",
			long:  "A store is where objects are kept: a folder or a bucket.",
		},
		{
			use: "store check URL", args: arity{1, 1}, lists: true, changes: true,
			short:   "Run the contract that every store must keep against a real one",
			long:    "Writes small objects below a name of its own, reads, lists and deletes them, and says what holds and what does not.",
			example: "backstay store check ./repo\nbackstay store check s3://bucket/prefix",
			make:    func() command { return &storeCheckOptions{} },
		},
		{
			use: "engines", group: groupInfo, args: arity{0, 0}, lists: true,
			short:   "List what can be protected, and what each engine can do",
			long:    "One line for each kind of source.",
			example: "backstay engines",
			make:    func() command { return &enginesOptions{} },
		},
		{
			use: "demo", group: groupInfo, args: arity{0, 0}, changes: true, lists: true,
			short: "See it work: protect a shop, lose it, have it back",
			long: `Makes a small shop on an embedded database in a fresh folder, with orders coming in that never stop; protects it, makes a mistake,
deletes the files, recovers to just before the mistake, and compares row by row with what was committed. Takes about 20 seconds.`,
			example: "backstay demo\nbackstay demo --dir ./demo",
			make:    func() command { return &demoOptions{} },
		},
		{
			use: "demo-shop DIR", hidden: true, args: arity{1, 1},
			short:   "The shop of the demo: writes orders until it is told to stop",
			long:    "Started by demo as a process of its own. Prints what it committed, one JSON line each.",
			example: "backstay demo-shop ./demo",
			make:    func() command { return &shopOptions{} },
		},
		{
			use: "guard DEADLINE DATA", hidden: true, args: arity{2, 2},
			short:   "The guard of a member: stops its server when the deadline of its agent has passed",
			long:    "Started by run, as a process of its own, for members with guard: true in backstay.yaml. It ends by itself.",
			example: "backstay guard /dev/shm/backstay/deadline /var/lib/postgresql/15/main",
			make:    func() command { return &guardOptions{} },
		},
		{
			use: "version", group: groupInfo, args: arity{0, 0}, lists: true,
			short:   "Show the version",
			long:    "Version, toolchain, system, codec and the repository format that is written.",
			example: "backstay version --json",
			make:    func() command { return &versionOptions{} },
		},
		{
			use: "docs DIR", hidden: true, args: arity{1, 1},
			short:   "Write docs/reference and the man pages",
			long:    "Made from the table of commands, the table of exit codes and the types that --json prints.",
			example: "backstay docs docs/reference",
			make:    func() command { return &docsOptions{} },
		},
	}
}
