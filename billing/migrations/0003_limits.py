"""Limits of accounts, and the windows that count what was used of them."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import TenantTable

# Limits are read by every call and windows are written by every call that they bind.
ROOM = """
ALTER TABLE billing_limits SET (fillfactor = 50);
ALTER TABLE billing_limitwindow SET (fillfactor = 50);
"""


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0009_limits"),
        ("billing", "0015_rate_levels"),
        ("billing", "0029_windows_by_key"),
    ]

    dependencies = [("billing", "0002_prices_and_secrets")]

    operations = [
        migrations.CreateModel(
            name="Limits",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("tokens_per_hour_mtok", models.BigIntegerField(blank=True, null=True)),
                ("tokens_per_day_mtok", models.BigIntegerField(blank=True, null=True)),
                ("tokens_per_month_mtok", models.BigIntegerField(blank=True, null=True)),
                ("tokens_total_mtok", models.BigIntegerField(blank=True, null=True)),
                ("requests_per_second", models.DecimalField(blank=True, decimal_places=3, max_digits=9, null=True)),
                ("burst", models.PositiveIntegerField(blank=True, null=True)),
                ("requests_per_day", models.PositiveIntegerField(blank=True, null=True)),
                ("concurrency", models.PositiveIntegerField(blank=True, null=True)),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("plan_tokens_per_hour_mtok", models.BigIntegerField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "account"), name="limits_once_per_account"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("tokens_per_hour_mtok__isnull", True), ("tokens_per_hour_mtok__gte", 0), _connector="OR"),
                            models.Q(("tokens_per_day_mtok__isnull", True), ("tokens_per_day_mtok__gte", 0), _connector="OR"),
                            models.Q(("tokens_per_month_mtok__isnull", True), ("tokens_per_month_mtok__gte", 0), _connector="OR"),
                            models.Q(("tokens_total_mtok__isnull", True), ("tokens_total_mtok__gte", 0), _connector="OR"),
                        ),
                        name="limits_of_tokens_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("requests_per_second__isnull", True), ("requests_per_second__gt", 0), _connector="OR"),
                            models.Q(("burst__isnull", True), ("burst__gt", 0), _connector="OR"),
                            models.Q(("requests_per_day__isnull", True), ("requests_per_day__gt", 0), _connector="OR"),
                            models.Q(("concurrency__isnull", True), ("concurrency__gt", 0), _connector="OR"),
                        ),
                        name="limits_of_requests_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitWindow",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("period", models.CharField(max_length=8)),
                ("starts_at", models.DateTimeField()),
                ("used_mtok", models.BigIntegerField(default=0)),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("watch_at_mtok", models.BigIntegerField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "account", "period", "starts_at"), name="limit_window_once_per_period"),
                    models.CheckConstraint(condition=models.Q(("used_mtok__gte", 0)), name="limit_window_not_negative"),
                    models.CheckConstraint(condition=models.Q(("period__in", ["hour", "day", "month", "total", "planhour"])), name="limit_window_period_known"),
                ],
            },
        ),
        TenantTable("billing_limits", references=[("account_id", "billing_account")]),
        TenantTable("billing_limitwindow", references=[("account_id", "billing_account")]),
        migrations.RunSQL(ROOM),
    ]
