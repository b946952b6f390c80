"""What a dead process leaves behind: nothing half done, and no Token lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta

import psycopg
import pytest
from django.db import connections

from billing.models import Account, Hold, Transfer
from billing.services.holds import expire_overdue_holds
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import connect, end, place
from tests.factories.billing import NOW, assert_ledger_clean, balance_of, make_hold, make_wallet

pytestmark = [pytest.mark.concurrency]

# A worker in miniature: holds Tokens, says so, and would capture them if it lived.
WORKER = """
import json, sys, time, psycopg
parameters, hold, place = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
connection = psycopg.connect(**parameters, autocommit=True)
assert connection.execute(place, hold).fetchone()[0] == "held"
print("held", flush=True)
time.sleep(600)
"""


def test_a_process_killed_between_hold_and_capture_gives_its_tokens_back(
    committed_db: None, alpha: Organization
) -> None:
    wallet = make_wallet(alpha, 10_000)
    default = connections["default"].get_connection_params()
    parameters = {name: default[name] for name in ("dbname", "user", "host", "port", "password") if default.get(name)}
    hold_id, deadline = str(new_id()), NOW + timedelta(minutes=5)
    arguments = [str(alpha.id), str(wallet.id), hold_id, 4_000, "job-1", hold_id, deadline.isoformat(), NOW.isoformat()]
    place_sql = "SELECT outcome FROM billing_place_hold(%s, %s, %s, %s, %s, %s, %s, %s)"
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, json.dumps(parameters), json.dumps(arguments), place_sql],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout
    with worker.stdout:
        assert worker.stdout.readline() == "held\n"
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL

    assert balance_of(wallet).available_mtok == 6_000
    assert expire_overdue_holds(now=deadline - timedelta(microseconds=1)) == 0
    assert expire_overdue_holds(now=deadline) == 1
    assert balance_of(wallet).available_mtok == 10_000
    assert_ledger_clean()


def capture_in(connection: psycopg.Connection, hold_ids: list[str]) -> None:
    """Open a transaction and capture in it, but do not commit."""
    items = [{"hold_id": hold_id, "mtok": 100, "transfer_id": str(new_id())} for hold_id in hold_ids]
    connection.execute("BEGIN")
    rows = connection.execute("SELECT outcome FROM billing_capture_holds(%s, %s)", [json.dumps(items), NOW]).fetchall()
    assert {outcome for (outcome,) in rows} == {"captured"}


def capture_and_be_terminated(hold_ids: list[str]) -> None:
    """Capture, and lose the backend before the commit."""
    with connect(platform=True) as worker, connect(owner=True) as owner:
        capture_in(worker, hold_ids)
        end(worker.info.backend_pid, by=owner)
        worker.execute("COMMIT")


def capture_and_vanish(hold_ids: list[str]) -> None:
    """Capture, and close the socket before the commit without a goodbye, as after SIGKILL."""
    with connect(platform=True) as worker:
        capture_in(worker, hold_ids)
        with socket.socket(fileno=os.dup(worker.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)


def test_a_backend_terminated_in_mid_capture_leaves_nothing_half_done(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)
    with connect() as web:
        hold_ids = [place(web, wallet, 100)[1] for _ in range(5)]
    with pytest.raises(psycopg.OperationalError):
        capture_and_be_terminated(hold_ids)
    with organization_scope(alpha.id):
        assert set(Hold.objects.values_list("status", flat=True)) == {"held"}
        assert not Transfer.objects.filter(kind="capture").exists()
    assert_ledger_clean()

    with connect(platform=True) as worker:
        capture_in(worker, hold_ids)
        worker.execute("COMMIT")
    assert balance_of(wallet).posted_mtok == 9_500
    assert_ledger_clean()


def test_a_client_that_vanishes_in_mid_capture_blocks_nobody_for_long(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 10_000)
    placed = make_hold(wallet, 100)
    with pytest.raises(psycopg.OperationalError, match="connection"):
        capture_and_vanish([str(placed.hold_id)])
    # The next one waits for the lock until the server has noticed.
    assert make_hold(wallet, 9_900).available_mtok == 0
    with organization_scope(alpha.id):
        assert Hold.objects.get(id=placed.hold_id).status == "held"
        assert Account.objects.get(id=wallet.id).held_mtok == 10_000
    assert_ledger_clean()
