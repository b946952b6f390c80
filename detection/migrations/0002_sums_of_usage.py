"""Sums of usage: of sub-tokens by hour, day, week and tag, and of whole organizations."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import TenantTable

# These rows change with every batch: leave room for the new version on the same page. Weeks are written once.
ROOM = """
ALTER TABLE detection_hourlyusage SET (fillfactor = 60);
ALTER TABLE detection_dailyusage SET (fillfactor = 60);
ALTER TABLE detection_tagusage SET (fillfactor = 60);
ALTER TABLE detection_organizationhour SET (fillfactor = 30);
ALTER TABLE detection_organizationday SET (fillfactor = 30);
ALTER TABLE detection_organizationtag SET (fillfactor = 30);
"""


class Migration(migrations.Migration):
    replaces = [
        ("detection", "0004_usage"),
        ("detection", "0005_usage_sums"),
        ("detection", "0012_organization_usage"),
        ("detection", "0013_weekly_usage"),
    ]

    dependencies = [("detection", "0001_models_and_calls")]

    operations = [
        migrations.CreateModel(
            name="HourlyUsage",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("hour", models.DateTimeField()),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
            ],
            options={
                "indexes": [models.Index(fields=["hour"], name="hourly_usage_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "hour", "sub_token", "model_version"), name="hourly_usage_once")],
            },
        ),
        migrations.CreateModel(
            name="DailyUsage",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("day", models.DateField()),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "day", "sub_token", "model_version"), name="daily_usage_once")],
            },
        ),
        migrations.CreateModel(
            name="WeeklyUsage",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("week", models.DateField()),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "week", "sub_token", "model_version"), name="weekly_usage_once")],
            },
        ),
        migrations.CreateModel(
            name="TagUsage",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("day", models.DateField()),
                ("name", models.CharField(blank=True, max_length=40)),
                ("value", models.CharField(blank=True, max_length=120)),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.subtoken")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "day", "sub_token", "model_version", "name", "value"), name="tag_usage_once")],
            },
        ),
        migrations.CreateModel(
            name="OrganizationHour",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("hour", models.DateTimeField()),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["hour"], name="organization_hour_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "hour", "model_version"), name="organization_hour_once")],
            },
        ),
        migrations.CreateModel(
            name="OrganizationDay",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("day", models.DateField()),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "day", "model_version"), name="organization_day_once")],
            },
        ),
        migrations.CreateModel(
            name="OrganizationTag",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("calls", models.BigIntegerField(default=0)),
                ("succeeded", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("cached", models.BigIntegerField(default=0)),
                ("charged_mtok", models.BigIntegerField(default=0)),
                ("day", models.DateField()),
                ("name", models.CharField(blank=True, max_length=40)),
                ("value", models.CharField(blank=True, max_length=120)),
                ("model_version", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="detection.modelversion")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "day", "name", "value", "model_version"), name="organization_tag_once")],
            },
        ),
        TenantTable("detection_hourlyusage", references=[("sub_token_id", "billing_subtoken")], scope_once=True),
        TenantTable("detection_dailyusage", references=[("sub_token_id", "billing_subtoken")], scope_once=True),
        TenantTable("detection_weeklyusage", references=[("sub_token_id", "billing_subtoken")], scope_once=True),
        TenantTable("detection_tagusage", references=[("sub_token_id", "billing_subtoken")], scope_once=True),
        TenantTable("detection_organizationhour", scope_once=True),
        TenantTable("detection_organizationday", scope_once=True),
        TenantTable("detection_organizationtag", scope_once=True),
        migrations.RunSQL(ROOM),
    ]
