from __future__ import annotations

from django.db import models
from django.db.models import ExpressionWrapper, F, Q

from billing.enums import GrantSource
from tenants.models.tenant import TenantModel, tenant_key


class Grant(TenantModel):
    """Tokens credited once to an organization's wallet. Immutable; what is left of it are its lots."""

    source = models.CharField(max_length=16, choices=GrantSource.choices)
    amount_mtok = models.BigIntegerField()
    # Lower burns first.
    priority = models.SmallIntegerField(default=50)
    expires_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, default="")
    reference = models.CharField(max_length=200, blank=True, default="")
    # As they were called then: the ledger outlives people and keys.
    actor = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_mtok__gt=0), name="grant_amount_positive"),
            models.CheckConstraint(condition=Q(source__in=GrantSource.values), name="grant_source_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_source_display()} {self.id}"


class Lot(TenantModel):
    """What a ring-fenced account still has of one grant.

    Priority, expiry and time of the grant are copied, so that an account's burn order is one index. Lots change only
    under their account's lock.
    """

    account = tenant_key("billing.Account", related_name="lots", db_index=False)
    grant = tenant_key("billing.Grant", related_name="lots", db_index=False)
    posted_mtok = models.BigIntegerField(default=0)
    held_mtok = models.BigIntegerField(default=0)
    priority = models.SmallIntegerField()
    expires_at = models.DateTimeField(null=True, blank=True)
    granted_at = models.DateTimeField()
    # Whether its grant is frozen (billing/models/debts.py): then it may be neither spent, moved nor expired.
    frozen = models.BooleanField(default=False, db_default=False)
    # Below this the grant's lots are added up anew to see whether a level of an alert is reached.
    watch_below_mtok = models.BigIntegerField(null=True, editable=False)
    # A column and not an index condition on posted_mtok: spending that leaves something changes no indexed value, so
    # the update stays in its page (HOT).
    spent = models.GeneratedField(
        expression=ExpressionWrapper(Q(posted_mtok=0), output_field=models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "account", "grant"], name="lot_once_per_account_and_grant"),
            models.CheckConstraint(
                condition=Q(held_mtok__range=(0, F("posted_mtok"))), name="lot_available_not_negative"
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "priority", "expires_at", "granted_at", "id"],
                condition=Q(spent=False, frozen=False),
                name="lot_to_burn",
            ),
            models.Index(
                fields=["expires_at"], condition=Q(spent=False, expires_at__isnull=False), name="lot_to_expire"
            ),
        ]

    def __str__(self) -> str:
        return f"Lot of grant {self.grant_id} in account {self.account_id}"
