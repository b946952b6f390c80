"""What waits for the disk, and when."""

from __future__ import annotations

from django.db import connection


def wait_for_disk() -> None:
    """Return once everything that was committed before on this connection survives a power cut.

    A transaction keeps its locks until its commit is on disk, and who wants the same account waits as long. Instead, a
    statement may commit without waiting (`synchronous_commit` off), which frees its locks at once, and wait here before
    it tells anybody: the log is written in order, so what is on disk now was preceded by that commit. This commits a
    message that nobody reads, as durably as the server's own `synchronous_commit` says.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_logical_emit_message(true, 'tokensight', '')")
