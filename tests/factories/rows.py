"""A row for any table that belongs to tenants, made from the model's own fields, so that tests can walk all of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import NOT_PROVIDED, Field, Model

from billing.models import (
    Account,
    AutoTopUp,
    Boost,
    CodeRedemption,
    CodeSet,
    Entry,
    Grant,
    Hold,
    LimitWindow,
    Payment,
    Plan,
    PlanPeriod,
    Subscription,
    SubToken,
    Transfer,
)
from tenants.identifiers import new_id
from tenants.models import Invitation, Organization, SingleSignOn, TenantModel
from tests.factories.tenants import make_user

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
_numbers = count(1)

BY_TYPE: tuple[tuple[type[Field], Any], ...] = (
    (ArrayField, list),
    (models.JSONField, dict),
    (models.UUIDField, new_id),
    (models.DateTimeField, lambda: NOW),
    (models.DateField, lambda: date(2026, 11, 21)),
    (models.BooleanField, lambda: False),
    (models.FloatField, lambda: 1.0),
    (models.BinaryField, lambda: b"bytes"),
    (models.IntegerField, lambda: 1),
    (models.GenericIPAddressField, lambda: "192.0.2.1"),
)


def tenant_models() -> list[type[TenantModel]]:
    """Return every model whose rows belong to an organization, in the order of their tables' names."""
    return sorted(
        (model for model in apps.get_models() if issubclass(model, TenantModel)), key=lambda model: model._meta.db_table
    )


class Rows:
    """One row per table of one organization, made when it is first asked for. Needs a scope that may write them."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self._made: dict[type[Model], Model] = {}

    def copy(self) -> Rows:
        """Return the same rows, so that what is made from here on is not known to others."""
        twin = Rows(self.organization)
        twin._made = self._made.copy()
        return twin

    def __getitem__(self, model: type[Model]) -> Model:
        """Return this organization's row, or for a table of the platform some row."""
        if model not in self._made:
            self._made[model] = self.make(model)
        return self._made[model]

    def make(self, model: type[Model], **values: Any) -> Model:
        """Write another row of a table, with these values where given."""
        if model is Organization:
            return self.organization
        if model._meta.label == "tenants.User":
            return make_user()
        known = (VALUES[model](self) if model in VALUES else {}) | values
        filled: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            if field.attname in known:
                filled[field.attname] = known[field.attname]
            elif field.name == "organization":
                filled[field.name] = self.organization
            elif not field.generated:
                filled[field.name] = self._value(field)
        row = model(**filled)
        if model is Entry:
            # Alone it would not sum to zero.
            Entry.objects.bulk_create([row, Entry(**filled | {"id": new_id(), "amount_mtok": -row.amount_mtok})])
        else:
            row.save(force_insert=True)
        return row

    def _value(self, field: Field) -> Any:
        if field.default is not NOT_PROVIDED:
            return field.get_default()
        if field.null:
            return None
        if field.remote_field:
            return self[field.related_model]
        if field.choices:
            return field.choices[0][0]
        for kind, value in BY_TYPE:
            if isinstance(field, kind):
                return value()
        return f"{field.name}-{next(_numbers)}"[: field.max_length or 60]


# What the fields alone do not tell, by attribute: what a table's constraints ask for.
VALUES: dict[type[Model], Callable[[Rows], dict[str, Any]]] = {
    Account: lambda rows: {"kind": "sub_token", "parent_id": _wallet(rows).pk},
    AutoTopUp: lambda rows: {"tokens_mtok": 1},
    CodeSet: lambda rows: {"benefit": "tokens", "tokens_mtok": 1},
    CodeRedemption: lambda rows: {"status": "redeemed", "tokens_mtok": 1, "grant_id": rows[Grant].pk},
    Invitation: lambda rows: {"role": "viewer"},
    SingleSignOn: lambda rows: {"default_role": "viewer"},
    SubToken: lambda rows: {"account_id": rows.make(Account).pk},
    Payment: lambda rows: {"status": "paid", "paid_at": NOW, "grant_id": rows.make(Grant).pk},
    LimitWindow: lambda rows: {"period": "hour"},
    Subscription: lambda rows: {"plan_id": _plan(), "period_ends_at": NOW + timedelta(days=30)},
    PlanPeriod: lambda rows: {"plan_id": _plan()},
    Boost: lambda rows: {"factor": 2},
    Hold: lambda rows: {
        "status": "captured",
        "amount_mtok": 1,
        "captured_mtok": 1,
        "resolved_at": NOW,
        "transfer_id": rows[Transfer].pk,
    },
}


def _plan() -> UUID:
    return Plan.objects.get(key="free").pk


def _wallet(rows: Rows) -> Account:
    return Account.objects.get_or_create(organization=rows.organization, kind="org_wallet")[0]
