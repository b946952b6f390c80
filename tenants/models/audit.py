from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tenants.actors import ActorKind
from tenants.models.tenant import TenantModel


class AuditEvent(TenantModel):
    """Something that somebody did to an organization. The database refuses to change or delete it.

    Actor and target are kept by id and name, not as keys: the event outlives both. `created_at` is when it happened.
    The last three columns are empty until the event is sealed into its organization's chain, once, by the database
    (tenants/migrations/sql/audit_chain.sql).
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
    user_agent = models.CharField(max_length=300, default="")
    session = models.CharField(max_length=16, default="")
    request_id = models.CharField(max_length=128, default="")
    reason = models.TextField(blank=True)

    sequence = models.BigIntegerField(null=True, editable=False)
    previous_hash = models.CharField(max_length=64, default="", editable=False)
    hash = models.CharField(max_length=64, default="", editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-created_at"], name="audit_event_newest"),
            models.Index(
                fields=["organization", "id"], name="audit_event_unsealed", condition=models.Q(sequence__isnull=True)
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["organization", "sequence"], name="audit_event_sequence_once")]

    def __str__(self) -> str:
        return self.action


class AuditChain(TenantModel):
    """Where an organization's chain of audit events ends: so many events, and the hash of the last one."""

    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")
    sealed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization"], name="audit_chain_once")]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.hash}"


class AuditCheck(TenantModel):
    """The result of one verification of an organization's chain, made at `created_at`. Never changed or deleted.

    `sequence` and `hash` are the end of the chain as it was then, so a later verification notices when it was
    rewritten or shortened since. `findings` are at most 100 of those counted.
    """

    events = models.BigIntegerField()
    waiting = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    finding_count = models.BigIntegerField(default=0)
    findings = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="audit_check_latest")]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.finding_count}"

    @property
    def passed(self) -> bool:
        """Return whether nothing was missing, altered or out of order."""
        return self.finding_count == 0
