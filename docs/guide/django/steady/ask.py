"""For the simple shape: Django connects to the servers themselves, and Backstay says which one is the primary.

Nothing stands between Django and the server, so nobody holds a request while there is no primary, moves a connection, or
says whether a COMMIT that was cut has happened. The answer is kept for KEEP seconds, and forgotten when a request fails.
"""

import json
import threading
import time
import urllib.error
import urllib.request

from django.conf import settings
from django.db import connections

KEEP = 1.0  # seconds for which an answer counts
WAIT = 20.0  # seconds that a request waits while there is no primary
TIMEOUT = 1.0  # seconds for one answer

_lock = threading.Lock()
_known, _until = "default", 0.0


class PrimaryRouter:
    def db_for_read(self, model, **hints):
        return primary()

    def db_for_write(self, model, **hints):
        return primary()

    def allow_relation(self, one, other, **hints):
        return True  # all of them are the same database

    def allow_migrate(self, db, app_label, **hints):
        return db == primary()


def primary():
    """The alias of the primary. A transaction must name it: transaction.atomic(using=router.db_for_write(Order))."""
    global _known, _until
    for alias in connections:
        if connections[alias].in_atomic_block:
            return alias  # a transaction stays where it is
    if time.monotonic() < _until:
        return _known
    with _lock:  # one of the process's threads asks
        deadline = time.monotonic() + WAIT
        while time.monotonic() >= _until:
            answer = _ask()
            if answer is not None:
                _known, _until = answer, time.monotonic() + KEEP
            elif time.monotonic() > deadline:
                break  # nobody knows: the last one that was known
            else:
                time.sleep(0.1)
        return _known


def forget():
    """The next request asks again."""
    global _until
    _until = 0.0


def _ask():
    for url in getattr(settings, "BACKSTAY_HEALTH", ()):
        try:
            with urllib.request.urlopen(url + "/primary", timeout=TIMEOUT) as response:
                member = json.load(response).get("primary")
        except (OSError, ValueError):  # not there, 503 while there is none, or no answer of Backstay
            continue
        if member in settings.BACKSTAY_MEMBERS:
            return settings.BACKSTAY_MEMBERS[member]
    return None
