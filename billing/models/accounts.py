from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from billing.enums import SYSTEM_KINDS, AccountKind, AccountMode
from tenants.models.tenant import TenantModel, tenant_key


class Account(TenantModel):
    """A place where Tokens are: the organization's wallet, a team's pool, a sub-token, or the system's other ends.

    A ring-fenced account owns lots, and `posted_mtok` / `held_mtok` are their sums. A capped account owns none: a hold
    on it takes lots of its nearest ring-fenced ancestor, and `drawn_mtok` counts what was taken through it (holds,
    captures, and allocations to accounts below, less what came back). Parent and mode never change. Balances change
    only under this row's lock, together with the lots; whoever needs several accounts locks them once, by id.
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

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind"],
                condition=~Q(kind__in=[AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN]),
                name="account_once_per_organization",
            ),
            models.CheckConstraint(condition=Q(kind__in=AccountKind.values), name="account_kind_known"),
            models.CheckConstraint(condition=Q(mode__in=AccountMode.values), name="account_mode_known"),
            models.CheckConstraint(
                condition=Q(kind__in=SYSTEM_KINDS) | Q(posted_mtok__gte=F("held_mtok")),
                name="account_available_not_negative",
            ),
            models.CheckConstraint(condition=Q(held_mtok__gte=0), name="account_held_not_negative"),
            models.CheckConstraint(condition=Q(drawn_mtok__gte=0), name="account_drawn_not_negative"),
            models.CheckConstraint(
                condition=Q(cap_mtok__isnull=True) | Q(drawn_mtok__lte=F("cap_mtok")), name="account_drawn_within_cap"
            ),
            models.CheckConstraint(
                condition=Q(mode=AccountMode.CAPPED, posted_mtok=0, held_mtok=0)
                | Q(mode=AccountMode.RING_FENCED, cap_mtok__isnull=True, drawn_mtok=0),
                name="account_owns_or_draws",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=[AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN], parent__isnull=False)
                | (
                    ~Q(kind__in=[AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN])
                    & Q(parent__isnull=True, mode=AccountMode.RING_FENCED)
                ),
                name="account_hangs_below_the_wallet",
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.get_kind_display()
