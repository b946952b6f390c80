"""What the database refuses by itself, whatever the services do."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.models import Model

from billing.enums import AccountKind, TransferKind
from billing.models import Account, Entry, Grant, Hold, Lot, Transfer
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.billing import NOW, make_account, make_capped_account, make_hold, make_wallet

APPEND_ONLY = ["billing_entry", "billing_transfer", "billing_grant"]
CHANGES = ["UPDATE {} SET created_at = created_at", "DELETE FROM {}", "TRUNCATE {} CASCADE"]


@pytest.mark.django_db
@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("door", [organization_scope, lambda _: platform_scope("test")], ids=["app", "platform"])
def test_neither_runtime_role_changes_what_was_written(
    alpha: Organization, table: str, change: str, door: Callable[[uuid.UUID], object]
) -> None:
    make_wallet(alpha, 1_000)
    with pytest.raises(DatabaseError, match="permission denied"), door(alpha.id), connection.cursor() as cursor:
        cursor.execute(change.format(table))


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", CHANGES)
def test_the_owner_does_not_either(committed_db: None, table: str, change: str) -> None:
    with (
        psycopg.connect(**connections["owner"].get_connection_params()) as owner,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        owner.execute(change.format(table))


def write_transfer(alpha: Organization, *amounts: int) -> None:
    """Write a transfer with one leg for each amount, in a transaction of its own."""
    with organization_scope(alpha.id):
        grant, (first, second) = Grant.objects.get(), Account.objects.filter(kind__in=["org_wallet", "issued"])
        transfer = Transfer.objects.create(organization=alpha, kind=TransferKind.REVERSAL)
        Entry.objects.bulk_create(
            Entry(organization=alpha, transfer=transfer, account=account, grant=grant, amount_mtok=amount)
            for account, amount in zip((first, second), amounts, strict=False)
        )


@pytest.mark.parametrize("amounts", [(5, -4), (5,), (-5, 6)])
def test_legs_that_do_not_sum_to_zero_never_commit(
    committed_db: None, alpha: Organization, amounts: tuple[int, ...]
) -> None:
    make_wallet(alpha, 1_000)
    with pytest.raises(IntegrityError, match="must sum to zero"):
        write_transfer(alpha, *amounts)
    with platform_scope("test"):
        assert not Transfer.objects.filter(kind=TransferKind.REVERSAL).exists()


def test_legs_that_sum_to_zero_commit(committed_db: None, alpha: Organization) -> None:
    make_wallet(alpha, 1_000)
    write_transfer(alpha, 5, -5)
    with platform_scope("test"):
        assert Transfer.objects.filter(kind=TransferKind.REVERSAL).exists()


def test_a_leg_added_to_an_old_transfer_must_balance_too(committed_db: None, alpha: Organization) -> None:
    wallet = make_wallet(alpha, 1_000)
    with pytest.raises(IntegrityError, match="must sum to zero"), organization_scope(alpha.id):
        Entry.objects.create(
            organization=alpha,
            transfer=Transfer.objects.get(),
            account=wallet,
            grant=Grant.objects.get(),
            amount_mtok=1,
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("constraint", "model", "values"),
    [
        ("account_available_not_negative", Account, {"held_mtok": 10_001}),
        ("account_available_not_negative", Account, {"held_mtok": -1}),
        ("account_owns_or_draws", Account, {"drawn_mtok": 1}),
        ("account_hangs_below_the_wallet", Account, {"parent": None, "kind": AccountKind.SUB_TOKEN}),
        ("lot_available_not_negative", Lot, {"held_mtok": 10_001}),
        ("lot_available_not_negative", Lot, {"held_mtok": -1}),
        ("hold_resolves_once", Hold, {"status": "captured"}),
        ("hold_resolves_once", Hold, {"captured_mtok": 1}),
        ("hold_amount_positive", Hold, {"amount_mtok": 0}),
    ],
)
def test_a_constraint_stands_behind_the_services(
    alpha: Organization, constraint: str, model: type[Model], values: dict[str, object]
) -> None:
    wallet = make_wallet(alpha, 10_000)
    make_hold(wallet, 1_000)
    rows = {Account: {"id": wallet.id}, Lot: {"account": wallet}, Hold: {"account": wallet}}[model]
    with organization_scope(alpha.id), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        if "kind" in values:  # the trigger would refuse first
            with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
                Account.objects.create(organization=alpha, **values)
            return
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            model.objects.filter(**rows).update(**values)


@pytest.mark.django_db
def test_a_cap_is_a_constraint_too(alpha: Organization) -> None:
    capped = make_capped_account(make_wallet(alpha, 1_000), 100)
    with pytest.raises(IntegrityError, match="account_drawn_within_cap"), organization_scope(alpha.id):
        Account.objects.filter(id=capped.id).update(drawn_mtok=101)


@pytest.mark.django_db
def test_an_account_never_moves_in_the_tree(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    pool, account = make_account(wallet), make_account(wallet)
    for values in ({"parent": pool}, {"mode": "capped"}, {"kind": "team_pool"}):
        with (
            organization_scope(alpha.id),
            pytest.raises(DatabaseError, match="never change"),
            transaction.atomic(),
        ):
            Account.objects.filter(id=account.id).update(**values)


@pytest.mark.django_db
def test_an_entry_cannot_point_into_another_organization(alpha: Organization, beta: Organization) -> None:
    make_wallet(alpha, 1_000)
    theirs = make_wallet(beta, 1_000)
    with pytest.raises(IntegrityError, match="tenant_fk"), platform_scope("test"):
        Entry.objects.create(
            organization=alpha,
            transfer=Transfer.objects.get(organization=alpha),
            account=theirs,
            grant=Grant.objects.get(organization=alpha),
            amount_mtok=1,
            created_at=NOW,
        )


@pytest.mark.django_db
def test_one_wallet_for_an_organization(alpha: Organization) -> None:
    make_wallet(alpha)
    with pytest.raises(IntegrityError, match="account_once_per_organization"), organization_scope(alpha.id):
        Account.objects.create(organization=alpha, kind=AccountKind.ORG_WALLET)
