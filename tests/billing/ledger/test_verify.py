"""The proof notices every thousandth that is off, wherever it is."""

from __future__ import annotations

import json
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from billing.enums import DebtCause, TransferKind
from billing.models import Account, LedgerCheck
from billing.queries.ledger import last_check, transfer_page, transfers
from billing.queries.usage import daily_burn
from billing.queries.verification import LedgerTotals
from billing.services import holds
from billing.services.freezes import freeze
from billing.services.takebacks import take_back
from billing.services.verify import verify_ledger
from tenants.actors import PLATFORM
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW, make_account, make_capped_account, make_grant, make_hold, make_wallet


def make_history(organization: Organization) -> Account:
    """Grant, allocate, hold, capture and leave one hold open on a capped account; return that account."""
    wallet = make_wallet(organization, 10_000)
    make_account(wallet, 2_000)
    capped = make_capped_account(wallet, 5_000)
    make_hold(capped, 700)
    captured = make_hold(capped, 400)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(captured.hold_id, 300, new_id())], now=NOW)
    return capped


def make_debts(organization: Organization) -> None:
    """Let 50 be spent and paid back, and 30 of that be settled by a purchase; freeze another of 70."""
    wallet = make_wallet(organization)
    spent = make_grant(organization, 50, priority=1)
    hold = make_hold(wallet, 50)
    with platform_scope("test"):
        holds.capture_holds(captures=[holds.Capture(hold.hold_id, 50, new_id())], now=NOW)
    with organization_scope(organization.id):
        take_back(
            grant=spent, mtok=50, cause=DebtCause.DISPUTE, reference="dispute:1", reason="Lost", actor=PLATFORM, now=NOW
        )
    make_grant(organization, 30)
    frozen = make_grant(organization, 90)
    with organization_scope(organization.id):
        freeze(organization_id=organization.id, grant_ids=[frozen.id], reference="dispute:2", now=NOW)


@pytest.mark.django_db
def test_the_sums_of_a_sound_ledger(alpha: Organization, beta: Organization) -> None:
    make_history(alpha)
    make_debts(alpha)
    report = verify_ledger(now=NOW)
    assert report.passed, report.off
    assert report.organizations == 2
    assert report.totals == LedgerTotals(
        granted_mtok=10_170,
        available_mtok=9_000,
        held_mtok=700,
        frozen_mtok=70,
        consumed_mtok=350,
        expired_mtok=0,
        refunded_mtok=50,
    )
    with organization_scope(alpha.id):
        check = last_check(alpha.id)
    assert check is not None
    assert check.passed
    assert (check.checked_at, check.granted_mtok, check.frozen_mtok, check.consumed_mtok) == (NOW, 10_170, 70, 350)


@pytest.mark.django_db
def test_verifying_again_keeps_one_result_for_an_organization(alpha: Organization) -> None:
    make_history(alpha)
    for _ in range(2):
        verify_ledger(now=NOW)
    with platform_scope("test"):
        assert LedgerCheck.objects.count() == 1


# What is damaged by hand, and the check that must find it.
DAMAGES = {
    "account posted = its entries": (
        "UPDATE billing_account SET posted_mtok = posted_mtok + 1 WHERE kind = 'sub_token' AND mode = 'ring_fenced'"
    ),
    "account held = open holds on it": (
        "UPDATE billing_account SET held_mtok = held_mtok - 1 WHERE kind = 'org_wallet'"
    ),
    "account drawn = holds and allocations through it": (
        "UPDATE billing_account SET drawn_mtok = drawn_mtok - 1 WHERE mode = 'capped'"
    ),
    "lot posted = entries of its account and grant": (
        "UPDATE billing_lot SET posted_mtok = posted_mtok - 1 WHERE held_mtok = 0 AND NOT spent"
    ),
    "lot held = parts of open holds": "UPDATE billing_lot SET held_mtok = held_mtok + 1 WHERE held_mtok > 0",
    "hold = the parts it took": "UPDATE billing_hold SET amount_mtok = amount_mtok + 1 WHERE status = 'held'",
    "captured hold = its transfer": (
        "UPDATE billing_hold SET captured_mtok = captured_mtok - 1 WHERE status = 'captured'"
    ),
    "capture has its hold": "DELETE FROM billing_hold WHERE status = 'captured'",
    "grant = available + held + frozen + consumed + expired + refunded": "DELETE FROM billing_lot WHERE held_mtok = 0",
    "grant = what was issued": "UPDATE billing_grant SET amount_mtok = amount_mtok + 1",
    "transfer has legs that sum to zero": "DELETE FROM billing_entry WHERE amount_mtok = 300",
    "account can spend its entries less holds and frozen": "UPDATE billing_lot SET frozen = true WHERE NOT frozen",
    "lot is frozen with its grant": "UPDATE billing_lot SET frozen = NOT frozen",
    "debt settled = its settlements": "UPDATE billing_debt SET settled_mtok = settled_mtok - 1",
    "debts are no more than their grant was spent": "UPDATE billing_debt SET owed_mtok = owed_mtok + 1",
    "daily burn = captures of that day": "UPDATE billing_dailyburn SET captured_mtok = captured_mtok + 1",
}


@pytest.mark.parametrize("check", DAMAGES)
def test_every_damage_of_one_thousandth_is_found(committed_db: None, alpha: Organization, check: str) -> None:
    make_history(alpha)
    make_debts(alpha)
    assert verify_ledger(now=NOW).passed
    # Past triggers and constraints, as a bad restore or a slip of the hand in psql would be.
    with psycopg.connect(**connections["owner"].get_connection_params()) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(DAMAGES[check])
    report = verify_ledger(now=NOW)
    assert not report.passed
    (organization,) = report.off
    assert check in {found["check"] for found in organization.discrepancies}
    with organization_scope(alpha.id):
        kept = last_check(alpha.id)
    assert kept is not None
    assert not kept.passed

    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("ledger_verify", stdout=output)
    assert ended.value.code == 1
    assert check in output.getvalue()


@pytest.mark.django_db
def test_the_command_prints_the_identity(alpha: Organization) -> None:
    make_history(alpha)
    output = StringIO()
    call_command("ledger_verify", stdout=output)
    lines = [line.split() for line in output.getvalue().splitlines()]
    assert ["granted", "10.000"] in lines
    assert ["+", "consumed", "0.300"] in lines
    output = StringIO()
    call_command("ledger_verify", "--json", "--organization", alpha.slug, stdout=output)
    report = json.loads(output.getvalue())
    assert report["passed"] is True
    assert report["totals"]["held_mtok"] == 700


@pytest.mark.django_db
def test_staff_grant_tokens_by_command(alpha: Organization) -> None:
    for _ in range(2):
        call_command(
            "grant_tokens",
            organization=alpha.slug,
            tokens="12.345",
            reason="Goodwill",
            key="ticket-7",
            actor="dana",
            stdout=StringIO(),
        )
    with organization_scope(alpha.id):
        (transfer,) = transfers(alpha.id)
        event = AuditEvent.objects.get()
    assert (event.action, event.actor_kind, event.actor_name) == ("grant.issued", "platform", "dana")
    assert (event.reason, event.after["mtok"]) == ("Goodwill", 12_345)
    assert (transfer.amount_mtok, transfer.reason, transfer.kind) == (12_345, "Goodwill", TransferKind.GRANT)


@pytest.mark.django_db
@pytest.mark.parametrize("tokens", ["0", "-1", "1.0001", "many", "NaN", "Infinity"])
def test_only_exact_positive_amounts_are_granted(alpha: Organization, tokens: str) -> None:
    with pytest.raises(CommandError):
        call_command("grant_tokens", organization=alpha.slug, tokens=tokens, reason="x")


@pytest.mark.django_db
def test_the_journal_and_the_burn_by_day(alpha: Organization) -> None:
    capped = make_history(alpha)
    with organization_scope(alpha.id):
        kinds = [transfer.kind for transfer in transfers(alpha.id)]
        captures = transfer_page(alpha.id, kind=TransferKind.CAPTURE, limit=5)
        wallet = Account.objects.get(kind="org_wallet")
        assert kinds == [TransferKind.CAPTURE, TransferKind.ALLOCATION, TransferKind.GRANT]
        assert [t.amount_mtok for t in captures] == [300]
        assert [t.kind for t in transfer_page(alpha.id, account_id=wallet.id, limit=5)] == kinds
        assert transfer_page(alpha.id, account_id=capped.id, limit=5) == []
        assert transfer_page(alpha.id, until=NOW, limit=5) == []
        (day,) = daily_burn(alpha.id, first_day=NOW.date(), last_day=NOW.date())
    assert (day.account_id, day.captured_mtok, day.captures) == (capped.id, 300, 1)
