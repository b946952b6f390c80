from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tenants.actors import ActorKind
from tenants.models.tenant import TenantModel


class AuditEvent(TenantModel):
    """Something that somebody did to an organization. The database refuses to change or delete it.

    Actor and target are kept by id and name, not as keys: the event outlives both. `created_at` is when it happened.
    """

    actor_kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in ActorKind])
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=254)
    action = models.CharField(max_length=60)
    target_kind = models.CharField(max_length=40)
    target_id = models.UUIDField()
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    ip = models.GenericIPAddressField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["organization", "-created_at"], name="audit_event_newest")]

    def __str__(self) -> str:
        return self.action
