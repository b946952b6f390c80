from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.identifiers import new_id
from tenants.models.tenant import TenantModel, tenant_key


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    BILLING = "billing", _("Billing")
    DEVELOPER = "developer", _("Developer")
    VIEWER = "viewer", _("Viewer")


class WhenUncounted(models.TextChoices):
    """What becomes of calls while nothing can count requests and calls at a time (Redis is away)."""

    PASS = "pass", _("Let calls pass, within the limits of Tokens")
    REFUSE = "refuse", _("Refuse calls")


class Organization(models.Model):
    """A tenant: the company or person who buys Tokens. Its own id is the `org_id` of everything it owns."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    when_uncounted = models.CharField(
        _("while requests cannot be counted"),
        max_length=8,
        choices=WhenUncounted.choices,
        default=WhenUncounted.PASS,
        db_default=WhenUncounted.PASS,
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Members without a second factor are led to set one up, and see nothing until then.
    requires_second_factor = models.BooleanField(default=False)
    # Members other than owners come in by the organization's own provider.
    requires_single_sign_on = models.BooleanField(default=False)
    # Since when staff let nothing be spent or changed here.
    frozen_at = models.DateTimeField(null=True, editable=False)
    # Between these two every call is refused, and the deletion can be undone.
    deletion_requested_at = models.DateTimeField(null=True, editable=False)
    deletion_due_at = models.DateTimeField(null=True, editable=False)
    # From then on there is only the ledger, which names nobody.
    deleted_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.name


class Membership(TenantModel):
    """A person's place in an organization, and what the role allows there."""

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once_per_user"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]


class Team(TenantModel):
    """A part of an organization (a project, a line, a shop) that may own a pool of Tokens. Teams nest."""

    parent = tenant_key("tenants.Team", null=True, related_name="children")
    name = models.CharField(_("name"), max_length=120)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="team_name_once")]

    def __str__(self) -> str:
        return self.name
