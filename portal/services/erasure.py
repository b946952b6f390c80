"""What happens to an organization when the grace of its deletion is over.

The ledger stays, so that what was issued, spent and expired still adds up; nothing in it says who it was. Everything
else goes: people's places, calls and their results, keys, alerts, the audit log. All of it happens in short
transactions that may be repeated; only when nothing is left is the organization marked as deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from django.apps import apps
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from billing.models import (
    Account,
    DailyBurn,
    Debt,
    Dispute,
    Entry,
    Freeze,
    Grant,
    Hold,
    LedgerCheck,
    Lot,
    Payment,
    Refund,
    Transfer,
)
from tenants.models import AuditChain, AuditCheck, AuditEvent, Identity, Organization, Team, TenantModel, User
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

ROWS_AT_ONCE = 2000
LEDGER: frozenset[type[TenantModel]] = frozenset(
    {Account, Grant, Lot, Transfer, Entry, Hold, DailyBurn, LedgerCheck, Payment, Freeze, Debt, Refund, Dispute}
)
# Pools of the ledger hang on teams, which lose their names.
NAMELESS: frozenset[type[TenantModel]] = frozenset({Team})
# Nobody may delete from these but the owner's function.
SEALED: frozenset[type[TenantModel]] = frozenset({AuditEvent, AuditChain, AuditCheck})
REASON = "erase an organization whose grace is over"


def erase_due_organizations(now: datetime, *, stop: Callable[[], bool] = lambda: False) -> int:
    """Erase every organization that is due; return how many. Through the platform's door, call it outside of one."""
    with platform_scope(REASON):
        due = list(Organization.objects.filter(deletion_due_at__lte=now, deleted_at=None).values_list("id", flat=True))
    erased = 0
    for organization_id in due:
        if not erase_organization(organization_id, now, stop=stop):
            break
        erased += 1
    return erased


def erase_organization(organization_id: UUID, now: datetime, *, stop: Callable[[], bool] = lambda: False) -> bool:
    """Erase one organization; return whether nothing is left. Begun again, it goes on where it was stopped."""
    for model in erased_models():
        while _delete_some(model, organization_id):
            if stop():
                return False
    for function in ("tenants_erase_audit", "billing_anonymise_ledger"):
        while _call(function, organization_id):
            if stop():
                return False
    with platform_scope(REASON):
        organization = Organization.objects.select_for_update().get(id=organization_id)
        for team in Team.objects.filter(organization=organization):
            team.name = str(team.id)
            team.save(update_fields=["name"])
        Account.objects.filter(organization=organization).update(label="")
        # What was paid for the grants stays with them; the pages at Stripe name who paid.
        Payment.objects.filter(organization=organization).update(
            created_by="",
            idempotency_key="",
            method="",
            checkout_url="",
            receipt_url="",
            invoice_url="",
            invoice_pdf="",
        )
        Refund.objects.filter(organization=organization).update(actor="", reason="", idempotency_key="")
        Account.objects.filter(organization=organization, closed_at=None).update(closed_at=now)
        organization.name, organization.slug = "–", f"deleted-{organization_id.hex}"
        organization.deleted_at = now
        organization.save(update_fields=["name", "slug", "deleted_at"])
        _forget_accounts_without_a_way_in()
    log.info("organization_erased", organization=str(organization_id))
    return True


def _forget_accounts_without_a_way_in() -> None:
    """Delete accounts that only a provider opened, once no organization's provider opens them any more."""
    opened = Identity.objects.filter(user_id=OuterRef("pk"))
    nobodys = User.objects.filter(password__startswith=UNUSABLE_PASSWORD_PREFIX, memberships=None, is_staff=False)
    nobodys.exclude(Exists(opened)).delete()


def erased_models() -> list[type[TenantModel]]:
    """Return every model whose rows go, each before those that it points to."""
    gone = {model for model in apps.get_models() if issubclass(model, TenantModel)} - LEDGER - NAMELESS - SEALED
    ordered: list[type[TenantModel]] = []
    while gone:
        pointed_to = {
            field.related_model
            for model in gone
            for field in model._meta.concrete_fields
            if field.remote_field and field.related_model is not model
        }
        free = sorted((model for model in gone if model not in pointed_to), key=lambda model: model._meta.db_table)
        if not free:
            raise RuntimeError(f"These point to each other: {sorted(model._meta.label for model in gone)}")
        ordered += free
        gone -= set(free)
    return ordered


def _delete_some(model: type[TenantModel], organization_id: UUID) -> int:
    table = connection.ops.quote_name(model._meta.db_table)
    with platform_scope(REASON), connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE org_id = %(org)s AND id IN "  # noqa: S608 the table is a model's own
            f"(SELECT id FROM {table} WHERE org_id = %(org)s LIMIT %(rows)s)",
            {"org": organization_id, "rows": ROWS_AT_ONCE},
        )
        return cursor.rowcount


def _call(function: str, organization_id: UUID) -> int:
    with transaction.atomic(), platform_scope(REASON), connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [organization_id, ROWS_AT_ONCE])
        done: int = cursor.fetchone()[0]
        return done
