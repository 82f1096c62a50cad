"""Reads go to the replicas; a visitor who wrote reads from the primary for some seconds.

A replica is a little behind, so that who has just written would not see it. The pin is a cookie, since the next request
may come to another process. What is no request (commands, Celery) reads from the primary; use_replicas() changes that.
"""

import contextlib
import contextvars

from django.conf import settings
from django.db import connections

COOKIE = "steady_pin"
# Longer than max_replica_lag of the listener (2s): no replica further behind is read from.
SECONDS = getattr(settings, "STEADY_PIN_SECONDS", 5)

_pinned = contextvars.ContextVar("pinned", default=True)
_wrote = contextvars.ContextVar("wrote", default=False)


class ReadRouter:
    def db_for_read(self, model, **hints):
        if _pinned.get() or connections["default"].in_atomic_block:
            return "default"
        return "replica"

    def db_for_write(self, model, **hints):
        _pinned.set(True)
        _wrote.set(True)
        return "default"

    def allow_relation(self, one, other, **hints):
        return True  # all of them are the same database

    def allow_migrate(self, db, app_label, **hints):
        return db == "default"


class PinMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        _pinned.set(COOKIE in request.COOKIES)
        _wrote.set(False)
        try:
            response = self.get_response(request)
            if _wrote.get():
                response.set_cookie(COOKIE, "1", max_age=SECONDS, httponly=True, samesite="Lax")
            return response
        finally:
            _pinned.set(True)


@contextlib.contextmanager
def use_replicas():
    """For reports and tasks that may read what is a little old."""
    before = _pinned.get()
    _pinned.set(False)
    try:
        yield
    finally:
        _pinned.set(before)
