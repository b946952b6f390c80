"""Management keys, calls that may be repeated, and mail that waits to be sent."""

import django.contrib.postgres.fields
import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable


class Migration(migrations.Migration):
    replaces = [
        ("tenants", "0003_management_keys_and_audit"),
        ("tenants", "0004_idempotency"),
        ("tenants", "0005_outbox"),
        ("tenants", "0007_key_rotation"),
    ]

    dependencies = [("tenants", "0003_audit_log")]

    operations = [
        migrations.CreateModel(
            name="ManagementKey",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("prefix", models.CharField(max_length=16)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("scopes", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), size=None, verbose_name="scopes")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                ("created_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("ip_allow_list", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, size=None, verbose_name="IP allow-list")),
                ("last_used_ip", models.GenericIPAddressField(editable=False, null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-created_at"], name="management_key_newest")],
            },
        ),
        migrations.CreateModel(
            name="RetiredKeySecret",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("prefix", models.CharField(max_length=16)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("ends_at", models.DateTimeField()),
                ("key", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name="retired_secrets", to="tenants.managementkey")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("key", models.CharField(max_length=255)),
                ("route", models.CharField(max_length=200)),
                ("request_hash", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("body", models.TextField(default="")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="idempotency_record_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "key", "route"), name="idempotency_record_once_per_key")],
            },
        ),
        migrations.CreateModel(
            name="OutboxMail",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("dedupe_key", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=60)),
                ("recipient", models.EmailField(max_length=254)),
                ("language", models.CharField(max_length=12)),
                ("context", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("subject", models.CharField(blank=True, max_length=250)),
                ("status", models.CharField(choices=[("queued", "Waiting"), ("sent", "Sent"), ("failed", "Given up")], default="queued", max_length=8)),
                ("due_at", models.DateTimeField()),
                ("claimed_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("status", "queued")), fields=["due_at"], name="outbox_mail_due"), models.Index(fields=["created_at"], name="outbox_mail_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "dedupe_key"), name="outbox_mail_once_per_key", nulls_distinct=False), models.CheckConstraint(condition=models.Q(("status__in", ["queued", "sent", "failed"])), name="outbox_mail_status_known")],
            },
        ),
        TenantTable("tenants_managementkey"),
        TenantTable("tenants_retiredkeysecret", references=[("key_id", "tenants_managementkey")]),
        TenantTable("tenants_idempotencyrecord"),
        TenantTable("tenants_outboxmail"),
        SqlFile(__file__, "management_keys"),
    ]
