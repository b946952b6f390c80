"""The one place where Python locks accounts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.db import connection, transaction

from billing.errors import AccountUnknown
from billing.models import Account

_BEFORE_OPENING = "SELECT pg_advisory_xact_lock_shared(hashtextextended('accounts:' || %s::uuid, 0))"


def before_opening_accounts(organization_id: uuid.UUID) -> None:
    """Keep limits from being set on the accounts of an organization until this transaction ends.

    Opening an account does that by itself. Who locks accounts first and opens some then calls this before, as who sets
    limits shuts the accounts before locking any: else the two would wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BEFORE_OPENING, [organization_id])


class Way(NamedTuple):
    """From an account to what pays for it: the ring-fenced `funding`, and the capped accounts passed on the way."""

    funding: uuid.UUID
    path: list[uuid.UUID]


def lock_accounts(account_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Account]:
    """Lock accounts, with their lots and holds, until the transaction ends, and return them fresh, by id.

    In order of id, as every operation does, so that two can never wait for each other in a circle: for that, call it
    once in a transaction. Raises AccountUnknown if one of them does not exist or is another organization's.
    """
    wanted = set(account_ids)
    locked = {
        account.id: account
        for account in Account.objects.filter(id__in=wanted).order_by("id").select_for_update(no_key=True)
    }
    if locked.keys() != wanted:
        raise AccountUnknown("There is no such account.")
    return locked


def way_from(account: Account) -> Way:
    """Return the way from an account to what pays for it. Parents and modes never change, so no lock is needed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT funding, path FROM billing_account_path(%s, %s)", [account.organization_id, account.id])
        funding, path = cursor.fetchone()
    if funding is None:
        raise AccountUnknown("This account holds no Tokens for spending.")
    return Way(funding, path)


def lock_whatever(find: Callable[[], set[uuid.UUID]]) -> dict[uuid.UUID, Account]:
    """Lock the accounts that `find` names, as `lock_accounts` does, and make sure that it names no more by then.

    For acts on accounts that are chosen by what they hold or where they hang, which may change until they are locked.
    Locks that turn out too few are let go before more are taken, so the order is kept. Needs a transaction.
    """
    wanted = find()
    while True:
        savepoint = transaction.savepoint()
        locked = lock_accounts(wanted)
        missed = find() - wanted
        if not missed:
            transaction.savepoint_commit(savepoint)
            return locked
        transaction.savepoint_rollback(savepoint)
        wanted |= missed
