"""The audit log, and the chains that its events are sealed into."""

import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable


class Migration(migrations.Migration):
    replaces = [
        ("tenants", "0006_audit_chain"),
    ]

    dependencies = [("tenants", "0002_scopes")]

    operations = [
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("actor_kind", models.CharField(choices=[("user", "user"), ("management_key", "management_key"), ("staff", "staff"), ("platform", "platform")], max_length=16)),
                ("actor_id", models.UUIDField(null=True)),
                ("actor_name", models.CharField(max_length=254)),
                ("action", models.CharField(max_length=60)),
                ("target_kind", models.CharField(max_length=40)),
                ("target_id", models.UUIDField()),
                ("before", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ("after", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder, null=True)),
                ("ip", models.GenericIPAddressField(null=True)),
                ("reason", models.TextField(blank=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("hash", models.CharField(default="", editable=False, max_length=64)),
                ("previous_hash", models.CharField(default="", editable=False, max_length=64)),
                ("request_id", models.CharField(default="", max_length=128)),
                ("sequence", models.BigIntegerField(editable=False, null=True)),
                ("session", models.CharField(default="", max_length=16)),
                ("user_agent", models.CharField(default="", max_length=300)),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-created_at"], name="audit_event_newest"), models.Index(condition=models.Q(("sequence__isnull", True)), fields=["organization", "id"], name="audit_event_unsealed")],
                "constraints": [models.UniqueConstraint(fields=("organization", "sequence"), name="audit_event_sequence_once")],
            },
        ),
        migrations.CreateModel(
            name="AuditChain",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("sequence", models.BigIntegerField(default=0)),
                ("hash", models.CharField(default="", max_length=64)),
                ("sealed_at", models.DateTimeField(null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization",), name="audit_chain_once")],
            },
        ),
        migrations.CreateModel(
            name="AuditCheck",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("events", models.BigIntegerField()),
                ("waiting", models.BigIntegerField(default=0)),
                ("sequence", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("finding_count", models.BigIntegerField(default=0)),
                ("findings", models.JSONField(default=list)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="audit_check_latest")],
            },
        ),
        TenantTable("tenants_auditevent"),
        TenantTable("tenants_auditchain"),
        TenantTable("tenants_auditcheck", append_only=True),
        SqlFile(__file__, "audit_chain"),
        SqlFile(__file__, "erase_audit"),
    ]
