from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.enums import Currency, PeriodReason, SubscriptionStatus
from tenants.identifiers import new_id
from tenants.models.tenant import TenantModel, tenant_key


class Plan(models.Model):
    """What an organization may use at most, and the Tokens that it gets every month. No tenant's; staff change it.

    Ceilings of null bind nothing. A plan without prices is not sold: everybody starts on the one that is `initial`, the
    others are given by staff.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # What the API and the command call it; stays when the name changes.
    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=60)
    monthly_mtok = models.BigIntegerField(_("Tokens per month"), default=0)
    # From the period's begin; null: to the period's end.
    tokens_valid_days = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_hour_mtok = models.BigIntegerField(_("Tokens per hour"), null=True, blank=True)
    requests_per_second = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    # Requests that may come at once; null: one second's worth.
    burst = models.PositiveIntegerField(null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("calls at a time"), null=True, blank=True)
    # Its share of busy workers, against organizations of other plans.
    weight = models.PositiveIntegerField(_("weight"), default=1)
    sub_token_days = models.PositiveIntegerField(_("longest life of a sub-token in days"), default=365)
    # Of two plans the one that stands later is the higher: changing to it is an upgrade.
    position = models.PositiveIntegerField(_("position"), unique=True)
    initial = models.BooleanField(default=False)
    # On the pricing page.
    listed = models.BooleanField(default=True)
    # Organizations can come to it; those that have it keep it otherwise.
    active = models.BooleanField(_("on sale"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # Last, because from here on its name hides the module's inside this class. Empty: all models.
    models = ArrayField(models.CharField(max_length=120), verbose_name=_("models"), default=list, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["initial"], condition=Q(initial=True), name="plan_initial_once"),
            models.CheckConstraint(
                condition=Q(monthly_mtok__gte=0)
                & (Q(tokens_per_hour_mtok__isnull=True) | Q(tokens_per_hour_mtok__gt=0))
                & (Q(requests_per_second__isnull=True) | Q(requests_per_second__gt=0))
                & (Q(burst__isnull=True) | Q(burst__gt=0))
                & (Q(concurrency__isnull=True) | Q(concurrency__gt=0))
                & (Q(tokens_valid_days__isnull=True) | Q(tokens_valid_days__gt=0))
                & Q(weight__gt=0)
                & Q(sub_token_days__gt=0),
                name="plan_numbers_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PlanPrice(models.Model):
    """What a plan costs per month in one currency, and the price at Stripe that says the same."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="prices", db_index=False)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    price_minor = models.BigIntegerField()
    # Empty until it is first needed, and again once the price has changed.
    stripe_id = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "currency"], name="plan_price_once_per_currency"),
            models.CheckConstraint(condition=Q(price_minor__gt=0), name="plan_price_positive"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="plan_price_currency_known"),
        ]

    def __str__(self) -> str:
        return f"{self.plan} ({self.currency})"


class Subscription(TenantModel):
    """The plan that an organization is on, from when to when, and how it goes on. Every organization has one.

    The row's lock guards it; it is taken before any account's. What is paid goes by Stripe's subscription, whose
    periods are copied here; what costs nothing goes by months from `anchor_at`.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=10, choices=SubscriptionStatus.choices, default=SubscriptionStatus.ACTIVE)
    anchor_at = models.DateTimeField()
    period_starts_at = models.DateTimeField()
    period_ends_at = models.DateTimeField()
    # What the organization changes to when the period ends; null: nothing changes.
    next_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # Given by staff, and taken back by nobody else.
    by_staff = models.BooleanField(default=False)
    currency = models.CharField(max_length=3, choices=Currency.choices, blank=True, default="")
    stripe_id = models.CharField(max_length=100, null=True, blank=True, unique=True)
    # A change that waits for its payment: nothing of it is in force.
    pending_plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    pending_invoice_id = models.CharField(max_length=100, blank=True, default="")
    # Stripe's page on which a plan was last subscribed to.
    pending_session_id = models.CharField(max_length=120, blank=True, default="")
    # Where the payment is completed (3-D Secure, another card).
    pending_url = models.CharField(max_length=2000, blank=True, default="")
    # An unpaid renewal: the plan stays until then.
    grace_ends_at = models.DateTimeField(null=True, blank=True)
    # Numbers of the looks at Stripe (billing/services/plan_settling.py): the last that was taken, the last that counts.
    asked_no = models.BigIntegerField(default=0)
    applied_no = models.BigIntegerField(default=0)
    # Somebody changes the plan at Stripe until then: one at a time.
    changing_until = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="subscription_once_per_organization"),
            models.CheckConstraint(condition=Q(status__in=SubscriptionStatus.values), name="subscription_status_known"),
            models.CheckConstraint(
                condition=Q(period_ends_at__gt=F("period_starts_at")), name="subscription_period_has_a_length"
            ),
            models.CheckConstraint(
                condition=Q(status=SubscriptionStatus.PAST_DUE, grace_ends_at__isnull=False)
                | Q(status=SubscriptionStatus.ACTIVE, grace_ends_at__isnull=True),
                name="subscription_grace_while_overdue",
            ),
        ]
        indexes = [models.Index(fields=["period_ends_at"], name="subscription_by_end")]

    def __str__(self) -> str:
        return f"{self.plan_id} of {self.organization_id}"


class PlanPeriod(TenantModel):
    """Tokens that a plan gave for one period, or for the rest of one after an upgrade: once per `key`.

    `grant` is null where the plan gives none.
    """

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.CharField(max_length=120)
    reason = models.CharField(max_length=8, choices=PeriodReason.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    tokens_mtok = models.BigIntegerField()
    grant = tenant_key("billing.Grant", null=True, db_index=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "key"], name="plan_period_once"),
            models.CheckConstraint(condition=Q(tokens_mtok__gte=0), name="plan_period_tokens_not_negative"),
            models.CheckConstraint(condition=Q(reason__in=PeriodReason.values), name="plan_period_reason_known"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.starts_at}"


class BoostOffer(models.Model):
    """A boost that the platform sells: all ceilings of the plan times `factor` for some hours. No tenant's."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=60)
    factor = models.DecimalField(max_digits=6, decimal_places=2)
    hours = models.PositiveIntegerField(_("hours"))
    price_minor = models.BigIntegerField(_("price"))
    currency = models.CharField(_("currency"), max_length=3, choices=Currency.choices)
    position = models.PositiveIntegerField(_("position"), default=0)
    active = models.BooleanField(_("on sale"), default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "currency"], name="boost_offer_once_per_currency"),
            models.CheckConstraint(condition=Q(factor__gt=1), name="boost_offer_factor_raises"),
            models.CheckConstraint(condition=Q(hours__gt=0), name="boost_offer_hours_positive"),
            models.CheckConstraint(condition=Q(price_minor__gt=0), name="boost_offer_price_positive"),
            models.CheckConstraint(condition=Q(currency__in=Currency.values), name="boost_offer_currency_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"


class Boost(TenantModel):
    """A time in which an organization's ceilings are raised. It ends by itself; no two of an organization overlap.

    What was bought stands in the row, so that an offer can change. Without times it is not paid, and raises nothing.
    """

    name = models.CharField(max_length=60)
    factor = models.DecimalField(max_digits=6, decimal_places=2)
    hours = models.PositiveIntegerField()
    payment = tenant_key("billing.Payment", null=True, related_name="boosts", db_index=False)
    starts_at = models.DateTimeField(null=True, blank=True)
    # When it was to end as it was bought, and when it does: earlier if it was taken back.
    paid_until = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "payment"], name="boost_once_per_payment"),
            models.CheckConstraint(condition=Q(factor__gt=1), name="boost_factor_raises"),
            models.CheckConstraint(
                condition=Q(starts_at__isnull=True, paid_until__isnull=True, ends_at__isnull=True)
                | Q(starts_at__isnull=False, ends_at__gte=F("starts_at"), paid_until__gte=F("ends_at")),
                name="boost_times_in_order",
            ),
        ]
        indexes = [models.Index(fields=["organization", "ends_at"], name="boost_by_end")]

    def __str__(self) -> str:
        return f"{self.factor} until {self.ends_at}"
