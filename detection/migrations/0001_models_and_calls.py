"""The catalogue of models, calls, the images of those that wait, and the clocks of fair share."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable

# The catalogue is the platform's: organizations read it, only the platform's door writes it.
THE_PLATFORMS = f"""
REVOKE INSERT, UPDATE, DELETE ON detection_model, detection_modelversion, detection_virtualtime
    FROM {settings.DATABASE_APP_ROLE}
"""
# These few rows change with every job: leave room for the new version on the same page.
CLOCKS = """
INSERT INTO detection_virtualtime (priority_class, now) VALUES (0, 0), (1, 0), (2, 0);
ALTER TABLE detection_virtualtime SET (fillfactor = 20);
ALTER TABLE detection_fairshareclock SET (fillfactor = 20);
"""


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("detection", "0001_jobs"),
        ("detection", "0002_admission"),
        ("detection", "0006_refusals"),
        ("detection", "0008_idempotent_calls"),
        ("detection", "0011_waiting"),
        ("detection", "0016_spare_inputs"),
        ("detection", "0017_admit_together"),
    ]

    dependencies = [("billing", "0008_functions")]

    operations = [
        migrations.CreateModel(
            name="Model",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=80, unique=True, verbose_name="name")),
                ("family", models.CharField(max_length=40, verbose_name="family")),
                ("letter", models.CharField(max_length=1, verbose_name="size letter")),
                ("task", models.CharField(choices=[("detect", "Detection")], default="detect", max_length=16, verbose_name="task")),
                ("title", models.CharField(max_length=120, verbose_name="title")),
                ("description", models.TextField(blank=True, verbose_name="description")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("letter__in", ["n", "s", "m", "l", "x"])), name="model_letter_known")],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("version", models.CharField(max_length=40, verbose_name="version")),
                ("channel", models.CharField(choices=[("stable", "Stable"), ("candidate", "Candidate")], default="stable", max_length=16, verbose_name="channel")),
                ("engine", models.CharField(choices=[("onnx", "ONNX Runtime"), ("torch", "PyTorch"), ("null", "None")], default="onnx", max_length=8, verbose_name="engine")),
                ("path", models.CharField(blank=True, max_length=300, verbose_name="path")),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("classes", models.JSONField(default=list, verbose_name="classes")),
                ("end_to_end", models.BooleanField(default=False, verbose_name="needs no NMS")),
                ("stride", models.PositiveSmallIntegerField(default=32)),
                ("default_img_size", models.PositiveSmallIntegerField(default=640)),
                ("metrics", models.JSONField(blank=True, default=dict, verbose_name="metrics")),
                ("installed", models.BooleanField(default=False, verbose_name="installed")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("model", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="detection.model")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("model", "version"), name="model_version_once")],
            },
        ),
        # The table is SQL's: it is partitioned, which Django cannot say.
        migrations.SeparateDatabaseAndState(
            database_operations=[SqlFile(__file__, "calls")],
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                        ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                        ("hold_id", models.UUIDField(null=True)),
                        ("task", models.CharField(max_length=16)),
                        ("img_size", models.PositiveSmallIntegerField()),
                        ("parameters", models.JSONField(default=dict)),
                        ("tags", models.JSONField(default=dict)),
                        ("status", models.CharField(choices=[("waiting", "Waiting for Tokens"), ("queued", "Queued"), ("running", "Running"), ("succeeded", "Succeeded"), ("failed", "Failed"), ("cancelled", "Cancelled")], default="queued", max_length=10)),
                        ("priority_class", models.PositiveSmallIntegerField(default=1)),
                        ("virtual_finish", models.FloatField(default=0)),
                        ("wait", models.BooleanField(default=True)),
                        ("price_mtok", models.BigIntegerField()),
                        ("charged_mtok", models.BigIntegerField(default=0)),
                        ("price_book", models.PositiveIntegerField()),
                        ("cached", models.BooleanField(default=False)),
                        ("idempotency_key", models.CharField(max_length=255, null=True)),
                        ("request_hash", models.CharField(max_length=64)),
                        ("request_id", models.CharField(blank=True, max_length=64)),
                        ("client_ip", models.GenericIPAddressField(null=True)),
                        ("input_sha256", models.CharField(max_length=64)),
                        ("image_width", models.PositiveIntegerField()),
                        ("image_height", models.PositiveIntegerField()),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("worker", models.CharField(blank=True, max_length=120)),
                        ("claimed_at", models.DateTimeField(null=True)),
                        ("lease_expires_at", models.DateTimeField(null=True)),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        ("queue_ms", models.FloatField(null=True)),
                        ("inference_ms", models.FloatField(null=True)),
                        ("total_ms", models.FloatField(null=True)),
                        ("error_code", models.CharField(blank=True, max_length=40)),
                        ("error_detail", models.TextField(blank=True)),
                        ("result", models.JSONField(null=True)),
                        ("prediction_count", models.PositiveIntegerField(null=True)),
                        ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                        ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
                        ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                        ("admitted_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "indexes": [
                            models.Index(condition=models.Q(("status", "queued")), fields=["model_version", "img_size", "priority_class", "virtual_finish", "id"], name="job_queue"),
                            models.Index(condition=models.Q(("status", "running")), fields=["lease_expires_at"], name="job_leases"),
                            models.Index(fields=["organization", "sub_token", "id"], name="job_log_of_sub_token"),
                            models.Index(fields=["organization", "created_at"], name="job_log_by_time"),
                            models.Index(condition=models.Q(("status__in", ["failed", "cancelled"])), fields=["organization", "id"], name="job_failures"),
                        ],
                        "constraints": [
                            models.CheckConstraint(condition=models.Q(("charged_mtok__gte", 0), ("charged_mtok__lte", models.F("price_mtok"))), name="job_charge_within_price"),
                            models.CheckConstraint(condition=models.Q(("status__in", ["waiting", "queued", "running", "succeeded", "failed", "cancelled"])), name="job_status_known"),
                        ],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="IdempotentCall",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("key", models.CharField(max_length=255)),
                ("job_id", models.UUIDField()),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="idempotent_call_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "sub_token", "key"), name="idempotent_call_once")],
            },
        ),
        migrations.CreateModel(
            name="WaitingInput",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("content", models.BinaryField()),
                ("size", models.PositiveIntegerField()),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "account", "created_at"], name="waiting_by_account")],
            },
        ),
        migrations.CreateModel(
            name="SpareInput",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("content", models.BinaryField()),
                ("size", models.PositiveIntegerField()),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="VirtualTime",
            fields=[
                ("priority_class", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("now", models.FloatField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="FairShareClock",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("priority_class", models.PositiveSmallIntegerField(verbose_name="priority class")),
                ("last_finish", models.FloatField(default=0)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "priority_class"), name="fair_share_clock_once")],
            },
        ),
        TenantTable("detection_job", references=[("sub_token_id", "billing_subtoken")]),
        TenantTable("detection_idempotentcall", references=[("sub_token_id", "billing_subtoken")]),
        TenantTable("detection_waitinginput", references=[("account_id", "billing_account")]),
        TenantTable("detection_spareinput"),
        TenantTable("detection_fairshareclock"),
        migrations.RunSQL(THE_PLATFORMS),
        migrations.RunSQL(CLOCKS),
    ]
