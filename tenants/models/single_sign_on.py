from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models.organizations import Role
from tenants.models.tenant import TenantModel


class SingleSignOn(TenantModel):
    """An organization's own OpenID provider. The client's secret is sealed, and shown to nobody again."""

    issuer = models.CharField(_("issuer"), max_length=500)
    client_id = models.CharField(_("client id"), max_length=255)
    sealed_client_secret = models.TextField()
    domains = ArrayField(models.CharField(max_length=253), verbose_name=_("mail domains"))
    default_role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    # When somebody first came in by it: only then it can be required.
    tried_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="single_sign_on_one_per_organization"),
            models.CheckConstraint(
                condition=models.Q(default_role__in=[role for role in Role.values if role != Role.OWNER]),
                name="single_sign_on_role_known",
            ),
        ]

    def __str__(self) -> str:
        return self.issuer


class Identity(TenantModel):
    """Whom an organization's provider means by a subject: one of our users, for this organization alone."""

    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "issuer", "subject"], name="identity_once_per_subject"),
            models.UniqueConstraint(fields=["organization", "issuer", "user"], name="identity_once_per_user"),
        ]

    def __str__(self) -> str:
        return self.subject
