from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from billing.enums import CodeBenefit, RedemptionStatus
from tenants.identifiers import new_id
from tenants.models.tenant import TenantModel, tenant_key


class CodeSet(models.Model):
    """Codes with the same terms, made together. No tenant's: staff make and end it, the platform's role alone sees it.

    `tokens_mtok` belongs to amounts and `percent` to percents; `valid_days` is how long the Tokens live that it gives
    (null: for ever). An organization may use codes of the set `uses_per_organization` times (null: as often as it has
    codes that work). Terms never change: what was promised on paper stays true.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=120)
    benefit = models.CharField(max_length=16, choices=CodeBenefit.choices)
    tokens_mtok = models.BigIntegerField(null=True)
    percent = models.PositiveSmallIntegerField(null=True)
    valid_days = models.PositiveIntegerField(null=True)
    uses_per_organization = models.PositiveIntegerField(null=True)
    first_purchase_only = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)
    # Who made and who ended it, as they were called then, and why: the platform has no audit log of an organization's.
    made_by = models.CharField(max_length=254)
    reason = models.CharField(max_length=500)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=254, blank=True, default="")
    idempotency_key = models.CharField(max_length=200, unique=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(benefit__in=CodeBenefit.values), name="code_set_benefit_known"),
            models.CheckConstraint(
                condition=Q(benefit__in=["tokens", "bonus_tokens"], tokens_mtok__gt=0, percent__isnull=True)
                | Q(benefit="bonus_percent", percent__range=(1, 1000), tokens_mtok__isnull=True)
                | Q(benefit="discount_percent", percent__range=(1, 90), tokens_mtok__isnull=True),
                name="code_set_benefit_complete",
            ),
            models.CheckConstraint(condition=Q(valid_days__gt=0), name="code_set_validity_positive"),
            models.CheckConstraint(condition=Q(uses_per_organization__gt=0), name="code_set_uses_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    def status_at(self, now: datetime) -> str:
        """Return `active`, `expired` or `ended`."""
        if self.ended_at:
            return "ended"
        return "expired" if self.expires_at and self.expires_at <= now else "active"


class Code(models.Model):
    """One code of a set: the hash of what was shown once, and how often it was used of how often it may be.

    `uses` counts the redemptions that have a slot, those that only wait for a payment too. It changes under the row's
    lock alone, and the constraint stands behind that.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    code_set = models.ForeignKey(CodeSet, on_delete=models.PROTECT, related_name="codes")
    secret_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=16)
    max_uses = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(max_uses__gt=0) & Q(uses__range=(0, F("max_uses"))), name="code_uses_bounded"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hint}…"


class CodeRedemption(TenantModel):
    """An organization's use of a code, with the terms as they were then.

    With a purchase it is `reserved` for `payment` until that is paid, and `released` when that comes to nothing.
    `redeemed`: its Tokens are credited by `grant` (none for a discount). `slot` numbers the uses of the set by this
    organization, each number once; one that has none does not count.
    """

    code_set = models.ForeignKey(CodeSet, on_delete=models.PROTECT, related_name="redemptions", db_index=False)
    code = models.ForeignKey(Code, on_delete=models.PROTECT, related_name="redemptions")
    slot = models.PositiveIntegerField(null=True)
    status = models.CharField(max_length=16, choices=RedemptionStatus.choices)
    benefit = models.CharField(max_length=16, choices=CodeBenefit.choices)
    percent = models.PositiveSmallIntegerField(null=True)
    hint = models.CharField(max_length=16)
    tokens_mtok = models.BigIntegerField(default=0)
    valid_days = models.PositiveIntegerField(null=True)
    discount_minor = models.BigIntegerField(default=0)
    payment = tenant_key("billing.Payment", null=True, related_name="codes", db_index=False)
    grant = tenant_key("billing.Grant", null=True, db_index=False)
    idempotency_key = models.CharField(max_length=200)
    actor = models.CharField(max_length=254, blank=True, default="")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "code_set", "slot"], name="redemption_slot_once"),
            models.UniqueConstraint(fields=["organization", "idempotency_key"], name="redemption_once_per_key"),
            models.UniqueConstraint(
                fields=["organization", "payment"],
                condition=Q(payment__isnull=False) & ~Q(status="released"),
                name="redemption_once_per_payment",
            ),
            models.CheckConstraint(condition=Q(status__in=RedemptionStatus.values), name="redemption_status_known"),
            models.CheckConstraint(condition=Q(benefit__in=CodeBenefit.values), name="redemption_benefit_known"),
            models.CheckConstraint(
                condition=Q(tokens_mtok__gte=0, discount_minor__gte=0), name="redemption_not_negative"
            ),
            # Tokens that were promised are there once it is redeemed, and not before.
            models.CheckConstraint(
                condition=Q(status="redeemed", tokens_mtok=0, grant__isnull=True)
                | Q(status="redeemed", tokens_mtok__gt=0, grant__isnull=False)
                | Q(status__in=["reserved", "released"], grant__isnull=True),
                name="redemption_granted_when_redeemed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hint}… by {self.organization_id}"


class CodeGuess(TenantModel):
    """A code that somebody tried and that works for nobody. Counted per person, in all organizations, and organization.

    In the database and not in Redis: who guesses must not begin anew because a cache was emptied.
    """

    actor = models.CharField(max_length=100)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="code_guess_of_organization"),
            models.Index(fields=["actor", "-created_at"], name="code_guess_of_person"),
        ]

    def __str__(self) -> str:
        return f"A guess by {self.actor}"
