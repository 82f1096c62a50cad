"""A request whose connection was cut is run once more, where nothing of it happened.

That is known of GET and HEAD, which change nothing, and of views marked with run_again whose error says so. The second
run waits for the new primary by itself: the listener holds whoever connects while there is none.
"""

import django
from django.core.handlers.base import BaseHandler
from django.db import Error, InterfaceError, OperationalError, connections

from steady import ask

# PostgreSQL's and Backstay's codes that say: nothing happened.
NOTHING = {
    "57P01",  # the session was ended while it was idle or in a transaction; 08007 is for one whose COMMIT was sent
    "25006",  # a standby answered
    "40001", "40P01",  # a conflict with others, a deadlock
}
# These say that the session is lost, and leave open what happened.
LOST = {"57P02", "57P03", "08000", "08001", "08003", "08006", "08007"}


def run_again(view):
    """Marks a view that touches nothing but the database, in one transaction.

    The outermost decorator that copies attributes (functools.wraps) may stand above it.
    """
    view.run_again = True
    return view


def code(error):
    """The SQLSTATE of an error of psycopg2 or psycopg 3; None where the connection was lost without a word."""
    cause = error.__cause__ or error
    return getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)


class RunAgainMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if django.VERSION < (4, 1):
            check_kept()
        return self.get_response(request)

    def process_exception(self, request, error):
        if getattr(request, "ran_again", False) or not self.may(request, error):
            return None
        request.ran_again = True
        for connection in connections.all():
            connection.close()
        ask.forget()
        match = request.resolver_match
        view = BaseHandler().make_view_atomic(match.func)  # as ATOMIC_REQUESTS wants it
        return view(request, *match.args, **match.kwargs)

    def may(self, request, error):
        if not isinstance(error, Error) or any(c.in_atomic_block for c in connections.all()):
            return False
        known = code(error)
        if known in NOTHING:
            return request.method in ("GET", "HEAD") or getattr(request.resolver_match.func, "run_again", False)
        lost = known in LOST or known is None and isinstance(error, (OperationalError, InterfaceError))
        return lost and request.method in ("GET", "HEAD")


def check_kept():
    """CONN_HEALTH_CHECKS for Django before 4.1: a kept connection that does not answer is closed, which opens another."""
    for connection in connections.all():
        if connection.connection is not None and connection.settings_dict.get("CONN_HEALTH_CHECKS") and not connection.in_atomic_block:
            if not connection.is_usable():
                connection.close()
