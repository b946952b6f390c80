from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from billing.enums import Currency, EventStatus, PaymentKind, PaymentStatus
from billing.money import money_text
from tenants.identifiers import new_id
from tenants.models.tenant import TenantModel, tenant_key


class TopUpTier(models.Model):
    """From how many Tokens on a free amount costs how much, and how long such Tokens last. No tenant's.

    The whole amount is sold at the price of the tier that it reaches. The lowest tier of a currency is the least that
    can be bought in it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    from_mtok = models.BigIntegerField()
    # Minor units for 1,000 Tokens: a Token may cost less than the smallest coin.
    minor_per_thousand = models.BigIntegerField()
    # From the sale; null for ever.
    valid_days = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["currency", "from_mtok"], name="top_up_tier_once"),
            models.CheckConstraint(condition=Q(from_mtok__gt=0), name="top_up_tier_from_positive"),
            models.CheckConstraint(condition=Q(minor_per_thousand__gt=0), name="top_up_tier_price_positive"),
            models.CheckConstraint(condition=Q(valid_days__gt=0), name="top_up_tier_validity_positive"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="top_up_tier_currency_known"),
        ]

    def __str__(self) -> str:
        return f"{self.from_mtok} mtok ({self.currency})"


class BillingCustomer(TenantModel):
    """Who an organization is to Stripe, made when it first buys.

    Name, address and tax ids are kept there. Of a saved card only what tells it apart is here.
    """

    stripe_id = models.CharField(max_length=64, unique=True)
    card_payment_method_id = models.CharField(max_length=64, blank=True, default="")
    card_brand = models.CharField(max_length=24, blank=True, default="")
    card_last4 = models.CharField(max_length=4, blank=True, default="")
    card_expires_month = models.PositiveSmallIntegerField(null=True, blank=True)
    card_expires_year = models.PositiveSmallIntegerField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="billing_customer_once_per_organization"),
        ]

    def __str__(self) -> str:
        return self.stripe_id


class Payment(TenantModel):
    """One attempt to pay money for Tokens, and what was bought, as it was then.

    `amount_minor` is the price of the Tokens; a discount is taken off it and tax is added. A payment that was paid has
    the grant that it brought, and the other way round. Rows change only under their own lock.
    """

    kind = models.CharField(max_length=12, choices=PaymentKind.choices, default=PaymentKind.TOPUP)
    status = models.CharField(max_length=12, choices=PaymentStatus.choices, default=PaymentStatus.OPEN)
    # What a POST with a key asked for, so that the same again is the same payment.
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    created_by = models.CharField(max_length=254, blank=True, default="")

    tokens_mtok = models.BigIntegerField()
    currency = models.CharField(max_length=3, choices=Currency.choices)
    amount_minor = models.BigIntegerField()
    discount_minor = models.BigIntegerField(default=0)
    tax_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)

    # None for a free amount, whose label is empty.
    package = models.ForeignKey(
        "billing.Package", null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    label = models.CharField(max_length=120, blank=True, default="")
    valid_days = models.PositiveIntegerField(null=True, blank=True)

    # Stripe's names for it; each belongs to one payment.
    checkout_session_id = models.CharField(max_length=120, blank=True, default="")
    payment_intent_id = models.CharField(max_length=120, blank=True, default="")
    charge_id = models.CharField(max_length=120, blank=True, default="")
    invoice_id = models.CharField(max_length=120, blank=True, default="")
    # Stripe's page for it, while it can be paid there.
    checkout_url = models.TextField(blank=True, default="")
    expires_at = models.DateTimeField(null=True, blank=True)

    method = models.CharField(max_length=80, blank=True, default="")
    invoice_number = models.CharField(max_length=80, blank=True, default="")
    invoice_url = models.TextField(blank=True, default="")
    invoice_pdf = models.TextField(blank=True, default="")
    receipt_url = models.TextField(blank=True, default="")
    failure_code = models.CharField(max_length=80, blank=True, default="")
    # Why a person of the platform's has to look before anything is credited; empty if nobody has.
    alarm = models.CharField(max_length=300, blank=True, default="")

    grant = tenant_key("billing.Grant", null=True, related_name="payments", db_index=False)
    paid_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # Last, because from here on its name hides the module's inside this class. Empty: all models.
    models = ArrayField(models.CharField(max_length=120), default=list, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=PaymentKind.values), name="payment_kind_known"),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="payment_status_known"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="payment_currency_known"),
            models.CheckConstraint(
                condition=Q(tokens_mtok__gte=0, amount_minor__gte=0, tax_minor__gte=0), name="payment_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(discount_minor__range=(0, F("amount_minor"))), name="payment_discount_within_amount"
            ),
            models.CheckConstraint(
                condition=Q(refunded_minor__range=(0, F("amount_minor") - F("discount_minor") + F("tax_minor"))),
                name="payment_refunded_within_total",
            ),
            # No money without Tokens, no Tokens without money.
            models.CheckConstraint(
                condition=Q(status="paid", paid_at__isnull=False) & (Q(grant__isnull=False) | Q(tokens_mtok=0))
                | ~Q(status="paid") & Q(grant__isnull=True, paid_at__isnull=True),
                name="payment_paid_has_its_grant",
            ),
            models.UniqueConstraint(
                fields=["organization", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="payment_once_per_key",
            ),
            # Two automatic payments at once would be one too many.
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(kind="auto_topup", status__in=["open", "processing"]),
                name="payment_one_automatic_at_once",
            ),
            models.UniqueConstraint(
                fields=["organization", "grant"], condition=Q(grant__isnull=False), name="payment_once_per_grant"
            ),
            models.UniqueConstraint(
                fields=["checkout_session_id"], condition=~Q(checkout_session_id=""), name="payment_once_per_session"
            ),
            models.UniqueConstraint(
                fields=["payment_intent_id"], condition=~Q(payment_intent_id=""), name="payment_once_per_intent"
            ),
            models.UniqueConstraint(fields=["charge_id"], condition=~Q(charge_id=""), name="payment_once_per_charge"),
            models.UniqueConstraint(
                fields=["invoice_id"], condition=~Q(invoice_id=""), name="payment_once_per_invoice"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="payment_newest"),
            models.Index(fields=["paid_at"], condition=Q(status="paid"), name="payment_by_time_paid"),
            models.Index(
                fields=["created_at"], condition=Q(status__in=["open", "processing"]), name="payment_unsettled"
            ),
            models.Index(fields=["id"], condition=~Q(alarm=""), name="payment_alarmed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.id}"

    @property
    def net_minor(self) -> int:
        """Return what was asked for without tax."""
        return self.amount_minor - self.discount_minor

    @property
    def total_minor(self) -> int:
        """Return what is paid in all."""
        return self.net_minor + self.tax_minor

    @property
    def total(self) -> str:
        return money_text(self.total_minor, self.currency)

    @property
    def is_unsettled(self) -> bool:
        """Return whether the money may still come in the ordinary way."""
        return self.status in {PaymentStatus.OPEN, PaymentStatus.PROCESSING}


class StripeEvent(models.Model):
    """An event as Stripe sent it, stored before anything is made of it. No tenant's: staff see it.

    `status` is processed or ignored only where that was committed together with what the event brought about. Whoever
    takes it puts `next_try_at` off first, so that nobody else takes it meanwhile, and somebody does if he dies.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_id = models.CharField(max_length=120, unique=True)
    type = models.CharField(max_length=80)
    api_version = models.CharField(max_length=40, blank=True, default="")
    livemode = models.BooleanField(default=False)
    account = models.CharField(max_length=64, blank=True, default="")
    payload = models.JSONField()
    # When Stripe says that it happened, and when it came here.
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(max_length=10, choices=EventStatus.choices, default=EventStatus.RECEIVED)
    attempts = models.PositiveIntegerField(default=0)
    # Null: nothing will try it by itself.
    next_try_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True, default="")
    finished_at = models.DateTimeField(null=True, blank=True)
    # [{"at", "by", "reason"}, ...]: who of the staff had it run again.
    acts = models.JSONField(default=list, encoder=DjangoJSONEncoder)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="stripe_event_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=["processed", "ignored"], finished_at__isnull=False, next_try_at__isnull=True)
                | Q(status__in=["received", "failed"], finished_at__isnull=True),
                name="stripe_event_finished_or_not",
            ),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(next_try_at__isnull=False), name="stripe_event_due"),
            models.Index(fields=["-received_at"], name="stripe_event_newest"),
            models.Index(fields=["status", "-received_at"], name="stripe_event_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class ReconciliationRun(models.Model):
    """One comparison of Stripe's payments with the ledger's grants. The platform's: staff see it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField()
    stripe_payments = models.PositiveIntegerField(default=0)
    ledger_payments = models.PositiveIntegerField(default=0)
    repaired = models.PositiveIntegerField(default=0)
    # [{"kind", "stripe", "payment", "organization", "grant", "currency", "ledger_minor", "stripe_minor", "mtok",
    # "repaired"}, ...]; empty when both say the same.
    differences = models.JSONField(default=list)
    # Why it could not be finished; empty if it was.
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["-began_at"], name="reconciliation_newest")]

    def __str__(self) -> str:
        return f"Reconciliation of {self.began_at:%Y-%m-%d %H:%M}"

    @property
    def passed(self) -> bool:
        """Return whether it was finished and left nothing to look at."""
        left = [difference for difference in self.differences if not difference["repaired"]]
        return self.ended_at is not None and not left and not self.error
