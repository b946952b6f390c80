"""Which errors say that the database cannot serve anybody just now, and not that what it was asked is wrong."""

from __future__ import annotations

from django.db import Error, InterfaceError, OperationalError

# Of SQLSTATE (PostgreSQL's appendix A): connection exception, insufficient resources, shutting down or starting. Not
# query_canceled (57014): what takes too long once takes too long again.
_CLASSES = ("08", "53", "57P")
# read_only_sql_transaction: a standby, or an operator who has stopped writing. A lock or a deadlock that did not end in
# time: others were there first.
_STATES = {"25006", "55P03", "40P01", "40001"}

RETRY_SECONDS = 5


def is_outage(error: BaseException | None) -> bool:
    """Return whether asking again in a few seconds is what helps: the database is away, full, closing, or too busy."""
    if not isinstance(error, Error):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        # A connection that cannot be made or has broken off tells no state; what the driver itself finds wrong in a
        # statement comes as other kinds of error.
        return isinstance(error, OperationalError | InterfaceError)
    return state.startswith(_CLASSES) or state in _STATES
