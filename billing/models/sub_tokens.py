from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.enums import OnExhausted, PriorityClass, SubTokenMode, SubTokenStatus
from tenants.models.retired_secrets import OldSecret
from tenants.models.tenant import TenantModel, tenant_key


class SubToken(TenantModel):
    """A slice of an organization's Tokens with a secret and a policy of its own; only the secret's hash is kept.

    Its Tokens, or the cap up to which it draws on its parent, are its account's. Expiry and revocation stand here for
    the credential and are mirrored onto the account in the same transaction, so that admission refuses as well; so is
    suspension, which can be taken back. Null or an empty list means: as the plan allows.
    """

    name = models.CharField(_("name"), max_length=120)
    prefix = models.CharField(max_length=16)
    secret_hash = models.CharField(max_length=64, unique=True)
    account = tenant_key("billing.Account", related_name="sub_tokens", db_index=False)
    team = tenant_key("tenants.Team", null=True)
    mode = models.CharField(_("mode"), max_length=16, choices=SubTokenMode.choices)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(null=True, editable=False)
    suspended_at = models.DateTimeField(null=True, editable=False)
    # When somebody is to be reminded that it ends; null when nobody is, or was for the last time.
    next_reminder_at = models.DateTimeField(null=True, editable=False)

    requests_per_second = models.DecimalField(
        _("requests per second"),
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    burst = models.PositiveIntegerField(_("burst"), null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("concurrent calls"), null=True, blank=True)
    tasks = ArrayField(models.CharField(max_length=40), verbose_name=_("tasks"), default=list, blank=True)
    ip_allow_list = ArrayField(
        models.CharField(max_length=43), verbose_name=_("IP allow-list"), default=list, blank=True
    )
    on_exhausted = models.CharField(
        _("when Tokens run out"), max_length=8, choices=OnExhausted.choices, default=OnExhausted.REJECT
    )
    priority_class = models.SmallIntegerField(
        _("priority"), choices=PriorityClass.choices, default=PriorityClass.NORMAL
    )

    tags = models.JSONField(_("tags"), default=dict, blank=True)

    # As they were called then: a sub-token outlives the person or key that made it.
    created_by = models.CharField(max_length=254, blank=True, default="")
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, editable=False)

    # Last, because from here on its name hides the module's inside this class.
    models = ArrayField(models.CharField(max_length=120), verbose_name=_("models"), default=list, blank=True)

    # Of a sub-token that was found by its secret: when that secret stops working, None for the newest.
    secret_ends_at: datetime | None = None
    # Likewise: since when staff let nothing be spent in its organization.
    organization_frozen_at: datetime | None = None
    # Since when its organization is being deleted, for one found by its secret.
    closing_since: datetime | None = None

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "account"], name="sub_token_once_per_account"),
            models.CheckConstraint(condition=Q(mode__in=SubTokenMode.values), name="sub_token_mode_known"),
            models.CheckConstraint(
                condition=Q(on_exhausted__in=OnExhausted.values), name="sub_token_on_exhausted_known"
            ),
            models.CheckConstraint(
                condition=Q(priority_class__in=PriorityClass.values), name="sub_token_priority_known"
            ),
            models.CheckConstraint(
                condition=(Q(requests_per_second__isnull=True) | Q(requests_per_second__gt=0))
                & (Q(burst__isnull=True) | Q(burst__gt=0))
                & (Q(concurrency__isnull=True) | Q(concurrency__gt=0)),
                name="sub_token_limits_positive",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="sub_token_newest"),
            models.Index(
                fields=["next_reminder_at"], name="sub_token_reminders", condition=Q(next_reminder_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def status_at(self, now: datetime) -> SubTokenStatus:
        """Return whether the sub-token can be used at `now`, and if not, why."""
        if self.revoked_at is not None:
            return SubTokenStatus.REVOKED
        if self.expires_at <= now:
            return SubTokenStatus.EXPIRED
        return SubTokenStatus.ACTIVE if self.suspended_at is None else SubTokenStatus.SUSPENDED


class RetiredSecret(OldSecret):
    """A sub-token's former secret."""

    sub_token = tenant_key("billing.SubToken", related_name="retired_secrets")
