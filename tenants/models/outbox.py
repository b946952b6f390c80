from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from tenants.models.tenant import TenantModel


class MailStatus(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    SENT = "sent", pgettext_lazy("state of a mail", "Sent")
    FAILED = "failed", _("Given up")


class OutboxMail(TenantModel):
    """A mail that the portal owes somebody, written in the transaction of what it tells of.

    `dedupe_key` makes it one mail however often it is queued. `due_at` is when it is tried next; whoever tries it has
    it until `claimed_until`. `context` is what its templates say, forgotten once it was sent: it may hold secret links.
    A mail to a person, whatever their organizations, has none of these.
    """

    organization = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Organization",
        null=True,
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
    )
    dedupe_key = models.CharField(max_length=255)
    kind = models.CharField(max_length=60)
    recipient = models.EmailField()
    language = models.CharField(max_length=12)
    context = models.JSONField(encoder=DjangoJSONEncoder)
    subject = models.CharField(max_length=250, blank=True)
    status = models.CharField(max_length=8, choices=MailStatus.choices, default=MailStatus.QUEUED)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "dedupe_key"], nulls_distinct=False, name="outbox_mail_once_per_key"
            ),
            models.CheckConstraint(condition=models.Q(status__in=MailStatus.values), name="outbox_mail_status_known"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="queued"), name="outbox_mail_due"),
            models.Index(fields=["created_at"], name="outbox_mail_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient}"
