from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.enums import Currency, DisputeStatus, RefundOrigin, RefundStatus
from billing.money import money_text
from tenants.models.tenant import TenantModel, tenant_key


class Refund(TenantModel):
    """Money of a payment that goes back, whole or in part, and the Tokens that go with it.

    One that was asked for here takes its Tokens first (`reserved`), all of them unspent. One that was made at Stripe
    has sent its money already: what is unspent is taken, the rest is owed, and `settled_at` says since when both are
    done. Rows change only under the lock of their payment.
    """

    payment = tenant_key("billing.Payment", related_name="refunds", db_index=False)
    origin = models.CharField(max_length=12, choices=RefundOrigin.choices)
    status = models.CharField(max_length=12, choices=RefundStatus.choices, default=RefundStatus.RESERVED)
    # How many Tokens it is for, and how many of them were taken; then the same of the purchase's bonus.
    tokens_mtok = models.BigIntegerField()
    taken_mtok = models.BigIntegerField(default=0)
    bonus_mtok = models.BigIntegerField(default=0)
    bonus_taken_mtok = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    # `tax_minor` of it is tax.
    amount_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    stripe_id = models.CharField(max_length=120, blank=True, default="")
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    actor = models.CharField(max_length=254, blank=True, default="")
    failure_code = models.CharField(max_length=80, blank=True, default="")
    attempts = models.PositiveIntegerField(default=0)
    # When somebody has to look at it again; null when nothing is left to do.
    next_try_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(origin__in=RefundOrigin.values), name="refund_origin_known"),
            models.CheckConstraint(condition=Q(status__in=RefundStatus.values), name="refund_status_known"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="refund_currency_known"),
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, tokens_mtok__gte=0, taken_mtok__range=(0, models.F("tokens_mtok")))
                & Q(bonus_mtok__gte=0, tax_minor__range=(0, models.F("amount_minor"))),
                name="refund_amounts_fit",
            ),
            models.CheckConstraint(
                condition=Q(bonus_taken_mtok__range=(0, models.F("bonus_mtok"))), name="refund_bonus_fits"
            ),
            models.UniqueConstraint(
                fields=["organization", "idempotency_key"], condition=~Q(idempotency_key=""), name="refund_once_per_key"
            ),
            models.UniqueConstraint(fields=["stripe_id"], condition=~Q(stripe_id=""), name="refund_once_at_stripe"),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="refund_newest"),
            models.Index(fields=["next_try_at"], condition=Q(next_try_at__isnull=False), name="refund_due"),
        ]

    def __str__(self) -> str:
        return f"Refund of {self.amount} ({self.status})"

    @property
    def reference(self) -> str:
        """What its transfers, its freeze and its debt bear."""
        return f"refund:{self.id}"

    @property
    def amount(self) -> str:
        return money_text(self.amount_minor, self.currency)


class Dispute(TenantModel):
    """A card holder's bank takes a payment back, and Stripe says who keeps it.

    While it is open the Tokens of the payment are frozen. Won, they are thawed; lost, what is left of `tokens_mtok` is
    taken and the rest is owed: `settled_at` says since when that is done. Rows change only under the lock of their
    payment.
    """

    payment = tenant_key("billing.Payment", related_name="disputes", db_index=False)
    stripe_id = models.CharField(max_length=120, unique=True)
    status = models.CharField(max_length=8, choices=DisputeStatus.choices, default=DisputeStatus.OPEN)
    # In Stripe's words: how far it is, and why.
    stripe_status = models.CharField(max_length=40)
    reason = models.CharField(max_length=80, blank=True, default="")
    currency = models.CharField(max_length=3, choices=Currency.choices)
    amount_minor = models.BigIntegerField()
    # How many Tokens it is about, and how many of them were taken; then the same of the purchase's bonus.
    tokens_mtok = models.BigIntegerField()
    taken_mtok = models.BigIntegerField(default=0)
    bonus_mtok = models.BigIntegerField(default=0)
    bonus_taken_mtok = models.BigIntegerField(default=0)
    evidence_due_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=DisputeStatus.values), name="dispute_status_known"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="dispute_currency_known"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0, taken_mtok__range=(0, models.F("tokens_mtok"))),
                name="dispute_amounts_fit",
            ),
            models.CheckConstraint(
                condition=Q(bonus_taken_mtok__range=(0, models.F("bonus_mtok"))), name="dispute_bonus_fits"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="dispute_newest"),
            models.Index(fields=["next_try_at"], condition=Q(next_try_at__isnull=False), name="dispute_due"),
        ]

    def __str__(self) -> str:
        return f"Dispute about {self.amount} ({self.status})"

    @property
    def reference(self) -> str:
        """What its transfers, its freeze and its debt bear."""
        return f"dispute:{self.id}"

    @property
    def amount(self) -> str:
        return money_text(self.amount_minor, self.currency)
