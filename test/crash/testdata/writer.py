"""A small shop that never stops: one order a commit, through Python's own sqlite3.

usage: writer.py DATABASE LEDGER MODE RATE

Every order n writes the same rows for the same n, so the number of orders says what the whole database must hold.
A line "n begun committed" (seconds since 1970) goes to LEDGER after each commit; a commit whose line is missing may
or may not have happened.
"""

import os
import random
import sqlite3
import sys
import time


def main():
    path, ledger_path, mode, rate = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE IF NOT EXISTS orders (n INTEGER PRIMARY KEY, amount INTEGER, note TEXT)")
    db.execute("CREATE TABLE IF NOT EXISTS total (id INTEGER PRIMARY KEY CHECK (id = 1), orders INTEGER, amount INTEGER)")
    db.execute("INSERT OR IGNORE INTO total VALUES (1, 0, 0)")
    db.execute("CREATE TABLE IF NOT EXISTS recent (n INTEGER PRIMARY KEY, noise TEXT)")
    n = db.execute("SELECT orders FROM total").fetchone()[0]
    ledger = open(ledger_path, "a", buffering=1)
    pause = 1 / rate
    due = time.time()
    while not os.path.exists(ledger_path + ".stop"):
        n += 1
        amount = n * 7919 % 1000
        begun = time.time()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders VALUES (?, ?, ?)", (n, amount, f"order {n} " + "x" * (n % 300)))
        db.execute("UPDATE total SET orders = ?, amount = amount + ?", (n, amount))
        db.execute("INSERT INTO recent VALUES (?, ?)", (n, "y" * (n % 1000)))
        db.execute("DELETE FROM recent WHERE n <= ?", (n - 50,))
        db.execute("COMMIT")
        ledger.write(f"{n} {begun:.6f} {time.time():.6f}\n")
        if mode == "wal" and random.random() < 0.01:
            db.execute(f"PRAGMA wal_checkpoint({random.choice(['PASSIVE', 'PASSIVE', 'FULL', 'TRUNCATE'])})").fetchall()
        due = max(due + pause, time.time() - 1)
        time.sleep(max(0, due - time.time()))
    db.close()


main()
