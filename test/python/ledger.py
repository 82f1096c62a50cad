"""A program that writes a SQLite database with the standard sqlite3 module and keeps a ledger of what it committed when.

    ledger.py DATABASE LEDGER [--mode wal|delete|truncate|persist] [--rate N] [--seconds S] [--commits N]
              [--checkpoint none|passive|full|restart|truncate] [--every N] [--page-size N] [--seed N] [--sync off|normal|full]
              [--vacuum N] [--auto-vacuum none|full|incremental] [--autocheckpoint N]

Each commit raises the counter in table state by one and sets it beside a digest of all rows, so one query tells which
commit a database stands at. The ledger gets, for each commit, a line "N BEFORE AFTER": the counter and the clock (seconds) just
before and just after COMMIT. It is written after the commit, so a killed writer's last commit may be
in the database and not in the ledger.
"""

import argparse
import random
import sqlite3
import sys
import time


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("database")
    p.add_argument("ledger")
    p.add_argument("--mode", default="wal")
    p.add_argument("--rate", type=float, default=0, help="commits a second; 0 means as many as can be")
    p.add_argument("--seconds", type=float, default=0)
    p.add_argument("--commits", type=int, default=0)
    p.add_argument("--checkpoint", default="none")
    p.add_argument("--every", type=int, default=50, help="commits between two checkpoints")
    p.add_argument("--page-size", type=int, default=4096)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--sync", default="normal")
    p.add_argument("--vacuum", type=int, default=0, help="commits between two VACUUMs")
    p.add_argument("--auto-vacuum", default="none")
    p.add_argument("--autocheckpoint", type=int, default=1000)
    return p.parse_args()


def connect(a):
    db = sqlite3.connect(a.database, isolation_level=None, timeout=30)
    db.execute(f"PRAGMA page_size={a.page_size}")
    db.execute(f"PRAGMA auto_vacuum={a.auto_vacuum}")
    mode = db.execute(f"PRAGMA journal_mode={a.mode}").fetchone()[0]
    if mode != a.mode:
        sys.exit(f"journal mode is {mode}, wanted {a.mode}")
    db.execute(f"PRAGMA synchronous={a.sync}")
    db.execute(f"PRAGMA wal_autocheckpoint={a.autocheckpoint}")
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE IF NOT EXISTS state(id INTEGER PRIMARY KEY CHECK(id=1), n INTEGER, total INTEGER)")
    db.execute("INSERT OR IGNORE INTO state VALUES(1, 0, 0)")
    db.execute("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, n INTEGER, body BLOB)")
    db.execute("CREATE INDEX IF NOT EXISTS orders_n ON orders(n)")
    db.execute("COMMIT")
    return db


def change(db, rng, n):
    """One transaction: total is the sum of all row sizes, so a lost or doubled row shows."""
    grow = 0
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((20, 200, 2000)) if rng.random() < 0.98 else 60000
        db.execute("INSERT INTO orders(n, body) VALUES(?, ?)", (n, rng.randbytes(size)))
        grow += size
    if rng.random() < 0.3:
        rows = db.execute("SELECT id, length(body) FROM orders ORDER BY random() LIMIT 3").fetchall()
        for row, size in rows:
            db.execute("UPDATE orders SET body=?, n=? WHERE id=?", (rng.randbytes(50), n, row))
            grow += 50 - size
    if rng.random() < 0.05:
        gone = db.execute("SELECT coalesce(sum(length(body)),0) FROM orders WHERE id%3=0").fetchone()[0]
        db.execute("DELETE FROM orders WHERE id%3=0")
        grow -= gone
    db.execute("UPDATE state SET n=?, total=total+?", (n, grow))


def main():
    a = arguments()
    rng = random.Random(a.seed)
    db = connect(a)
    n = db.execute("SELECT n FROM state").fetchone()[0]
    start, done = time.time(), 0
    with open(a.ledger, "a", buffering=1) as ledger:
        while True:
            if a.commits and done >= a.commits or a.seconds and time.time() - start >= a.seconds:
                break
            if a.rate:
                time.sleep(max(0, start + done / a.rate - time.time()))
            n, done = n + 1, done + 1
            db.execute("BEGIN IMMEDIATE")
            change(db, rng, n)
            before = time.time()
            db.execute("COMMIT")
            ledger.write(f"{n} {before:.6f} {time.time():.6f}\n")
            if a.checkpoint != "none" and done % a.every == 0:
                db.execute(f"PRAGMA wal_checkpoint({a.checkpoint})").fetchall()
            if a.vacuum and done % a.vacuum == 0:
                db.execute("VACUUM")
    db.close()


main()
