from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from detection.enums import JobStatus
from tenants.models import TenantModel
from tenants.models.tenant import tenant_key


class Job(TenantModel):
    """One image to be looked at: the queue, the call log and the bill in one row.

    The table is partitioned by the week that its ids were made in (docs/adr/0008); a range of ids, see
    tenants.identifiers.first_id_at, is what keeps a query out of the other weeks.

    Only detection/services changes it. `price_mtok` is what the hold took, `charged_mtok` what was captured in the end.
    A job that waits for Tokens has no hold yet, and its image lies in WaitingInput. A running job belongs to `worker`
    until `lease_expires_at`; each claim adds one to `attempts`.
    """

    # The sub-token's key stands for the organization's too; a second one would make all calls queue for its row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    sub_token = tenant_key("billing.SubToken", db_index=False)
    hold_id = models.UUIDField(null=True)
    model_version = models.ForeignKey(
        "detection.ModelVersion", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    task = models.CharField(max_length=16)
    img_size = models.PositiveSmallIntegerField()
    parameters = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)

    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.QUEUED)
    priority_class = models.PositiveSmallIntegerField(default=1)
    virtual_finish = models.FloatField(default=0)
    wait = models.BooleanField(default=True)

    price_mtok = models.BigIntegerField()
    charged_mtok = models.BigIntegerField(default=0)
    price_book = models.PositiveIntegerField()
    cached = models.BooleanField(default=False)

    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 a unique key that most calls lack
    request_hash = models.CharField(max_length=64)
    request_id = models.CharField(max_length=64, blank=True)
    client_ip = models.GenericIPAddressField(null=True)
    input_sha256 = models.CharField(max_length=64)
    image_width = models.PositiveIntegerField()
    image_height = models.PositiveIntegerField()

    # When Tokens came for a job that had waited for them; its life in the queue begins here.
    admitted_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True)
    claimed_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    queue_ms = models.FloatField(null=True)
    inference_ms = models.FloatField(null=True)
    total_ms = models.FloatField(null=True)

    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)
    result = models.JSONField(null=True)
    prediction_count = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=JobStatus.values), name="job_status_known"),
            models.CheckConstraint(
                condition=Q(charged_mtok__gte=0) & Q(charged_mtok__lte=F("price_mtok")), name="job_charge_within_price"
            ),
        ]
        indexes = [
            # Exactly the order of a claim, and only over what waits: it stays small however long the log grows.
            models.Index(
                fields=["model_version", "img_size", "priority_class", "virtual_finish", "id"],
                condition=Q(status="queued"),
                name="job_queue",
            ),
            models.Index(fields=["lease_expires_at"], condition=Q(status="running"), name="job_leases"),
            models.Index(fields=["organization", "sub_token", "id"], name="job_log_of_sub_token"),
            models.Index(fields=["organization", "created_at"], name="job_log_by_time"),
            # The few that are looked for among the many.
            models.Index(
                fields=["organization", "id"], condition=Q(status__in=["failed", "cancelled"]), name="job_failures"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def held_mtok(self) -> int:
        """What is held for it: its price while it is under way, 0 while it waits for Tokens and when it is over."""
        return self.price_mtok if self.hold_id and self.status in {JobStatus.QUEUED, JobStatus.RUNNING} else 0


class IdempotentCall(TenantModel):
    """Which call an idempotency key made. Calls are partitioned by id, so their own rows cannot keep a key unique."""

    # See Job.organization.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        db_column="org_id",
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    sub_token = tenant_key("billing.SubToken", db_index=False)
    key = models.CharField(max_length=255)
    job_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "sub_token", "key"], name="idempotent_call_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotent_call_by_age")]

    def __str__(self) -> str:
        return self.key


class FairShareClock(TenantModel):
    """When an organization's latest job of a priority class would finish, in virtual time.

    Virtual time is counted in mtok of work. A job's `virtual_finish` is max(now, last) + price / weight, so a burst of
    one organization queues behind itself and not in front of the others.
    """

    priority_class = models.PositiveSmallIntegerField(_("priority class"))
    last_finish = models.FloatField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "priority_class"], name="fair_share_clock_once")]

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.priority_class}"


class VirtualTime(models.Model):
    """How far the queue of one priority class has been served; a claim moves it on to the first job that it takes."""

    priority_class = models.PositiveSmallIntegerField(primary_key=True)
    now = models.FloatField(default=0)

    def __str__(self) -> str:
        return f"{self.priority_class}: {self.now}"
