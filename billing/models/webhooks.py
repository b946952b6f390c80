from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.enums import DeliveryStatus, WebhookKind
from tenants.models.tenant import TenantModel, tenant_key


class WebhookEndpoint(TenantModel):
    """An address of the customer's that is called when an alert is raised.

    The signing secret is kept sealed: unlike a password it must be read again, to sign. After a rotation the previous
    one signs along until `previous_ends_at`. `rules` empty means all. While `resting_until` is ahead nothing is sent:
    the address failed lately.
    """

    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=8, choices=WebhookKind.choices, default=WebhookKind.SIGNED)
    url = models.CharField(_("address"), max_length=500)
    rules = ArrayField(models.CharField(max_length=24), verbose_name=_("alerts"), default=list, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    sealed_secret = models.TextField(blank=True, editable=False)
    sealed_previous = models.TextField(blank=True, editable=False)
    previous_ends_at = models.DateTimeField(null=True, editable=False)
    resting_until = models.DateTimeField(null=True, editable=False)
    created_by = models.CharField(max_length=254, blank=True, default="", editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=WebhookKind.values), name="webhook_endpoint_kind_known")
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="webhook_endpoint_newest")]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(TenantModel):
    """One event on its way to one endpoint. `log` is what became of each attempt, the latest last."""

    endpoint = tenant_key("billing.WebhookEndpoint", related_name="deliveries", db_index=False)
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=40)
    body = models.JSONField(encoder=DjangoJSONEncoder)
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.QUEUED)
    # Attempts are counted, and time to give up is, from here: a resend begins anew.
    tried_since = models.DateTimeField()
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    log = models.JSONField(default=list, encoder=DjangoJSONEncoder)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "endpoint", "event_id"], name="webhook_delivery_once"),
            models.CheckConstraint(condition=Q(status__in=DeliveryStatus.values), name="webhook_delivery_status_known"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status="queued"), name="webhook_delivery_due"),
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_newest"),
            models.Index(fields=["created_at"], name="webhook_delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} to {self.endpoint_id}"
