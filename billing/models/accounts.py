from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from billing.enums import AccountKind, AccountMode
from tenants.models.tenant import TenantModel, tenant_key


class Account(TenantModel):
    """A place where Tokens are: the organization's wallet, a team's pool, a sub-token, or the system's other ends.

    A ring-fenced account owns lots, and `posted_mtok` / `held_mtok` are their sums. A capped account owns none: a hold
    on it takes lots of its nearest ring-fenced ancestor, and `drawn_mtok` counts what was taken through it (holds,
    captures, and allocations to accounts below, less what came back). Parent and mode never change. Balances change
    only under this row's lock, together with the lots; whoever needs several accounts locks them once, by id.

    `limited_by` lists the accounts from this one upward that have limits of Tokens (billing/services/limits.py); null
    where there is none, so that a call learns with its own row whether it has to look.
    """

    kind = models.CharField(max_length=16, choices=AccountKind.choices)
    mode = models.CharField(max_length=16, choices=AccountMode.choices, default=AccountMode.RING_FENCED)
    parent = tenant_key("billing.Account", null=True, related_name="children")
    team = tenant_key("tenants.Team", null=True)
    label = models.CharField(max_length=200, blank=True, default="")
    cap_mtok = models.BigIntegerField(null=True, blank=True)
    drawn_mtok = models.BigIntegerField(default=0)
    posted_mtok = models.BigIntegerField(default=0)
    held_mtok = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    # How often Tokens or ceiling were changed by anything but spending: what a preview was worked out on.
    revision = models.BigIntegerField(default=0, db_default=0, editable=False)
    limited_by = ArrayField(models.UUIDField(), null=True, blank=True, editable=False)
    # Kept by a trigger (billing/migrations/sql/watch.sql) that sees when a level of an alert is reached. `watch_at` is
    # the posted (capped: drawn) amount at which the next level is, None after the last; `watch_base` what the levels
    # are shares of, `watch_start` what that was when the period began, `watch_level` the highest level reached in it.
    watch_at_mtok = models.BigIntegerField(null=True, editable=False)
    watch_base_mtok = models.BigIntegerField(default=0, editable=False)
    watch_start_mtok = models.BigIntegerField(default=0, editable=False)
    watch_level = models.SmallIntegerField(default=0, editable=False)
    watch_period = models.IntegerField(default=0, editable=False)
    # Of a wallet: spending that leaves less than this makes an automatic top-up due (billing/migrations/sql/auto_top_up
    # .sql), None while none is to be made.
    auto_below_mtok = models.BigIntegerField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind"],
                condition=~Q(kind__in=[AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN]),
                name="account_once_per_organization",
            ),
            # Checked with every call, hence few and short. What concerns kind, mode and parent, which never change, is
            # checked once by a trigger (billing/migrations/sql/guards.sql).
            models.CheckConstraint(
                condition=Q(held_mtok__gte=0) & (Q(posted_mtok__gte=F("held_mtok")) | Q(kind=AccountKind.ISSUED)),
                name="account_available_not_negative",
            ),
            # Without a cap this is unknown, which passes.
            models.CheckConstraint(condition=Q(drawn_mtok__range=(0, F("cap_mtok"))), name="account_drawn_within_cap"),
            models.CheckConstraint(condition=Q(posted_mtok=0) | Q(drawn_mtok=0), name="account_owns_or_draws"),
        ]

    def __str__(self) -> str:
        return self.label or self.get_kind_display()
