"""Levels that were reached, who is told of them and how, and webhooks."""

import datetime

import django.contrib.postgres.fields
import django.core.serializers.json
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import billing.models.alerts
import tenants.identifiers
from tenants.migration_operations import TenantTable


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0011_alerts"),
        ("billing", "0014_watched_limits"),
    ]

    dependencies = [("billing", "0006_codes")]

    operations = [
        migrations.CreateModel(
            name="Crossing",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("span", models.CharField(blank=True, default="", max_length=8)),
                ("levels", django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), default=list, size=None)),
                ("period", models.CharField(blank=True, default="", max_length=80)),
                ("used_mtok", models.BigIntegerField(default=0)),
                ("whole_mtok", models.BigIntegerField(default=0)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("account", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("grant", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("refused", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="crossing_due")],
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("grant_used", "A grant is nearly used"),
                            ("pool_used", "A team's Tokens are nearly used"),
                            ("sub_token_used", "A sub-token's Tokens are nearly used"),
                            ("limit_used", "A limit is nearly reached"),
                            ("tokens_exhausted", "The organization has no Tokens left"),
                            ("grant_expiring", "A grant expires soon"),
                            ("sub_token_expiring", "A sub-token ends soon"),
                            ("errors_in_a_row", "A sub-token's calls fail one after the other"),
                            ("unusual_burn", "Unusually many Tokens are spent"),
                            ("payment_disputed", "A payment is disputed"),
                            ("debt_incurred", "The organization owes Tokens"),
                        ],
                        max_length=24,
                    ),
                ),
                ("subject_kind", models.CharField(max_length=16)),
                ("subject_id", models.UUIDField()),
                ("subject_name", models.CharField(blank=True, max_length=200)),
                ("level", models.SmallIntegerField(null=True)),
                ("period", models.CharField(blank=True, max_length=80)),
                ("severity", models.CharField(choices=[("warning", "Warning"), ("critical", "Critical")], max_length=8)),
                ("facts", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("announced", models.BooleanField(default=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="alert_newest")],
                "constraints": [models.UniqueConstraint(fields=("organization", "rule", "subject_id", "level", "period"), name="alert_once_per_level_and_period", nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name="AlertNotice",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("in_inbox", models.BooleanField(default=True)),
                ("for_digest", models.BooleanField(default=False)),
                ("read_at", models.DateTimeField(null=True)),
                ("alert", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="notices", to="billing.alert")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("user", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("in_inbox", True), ("read_at__isnull", True)), fields=["organization", "user"], name="notice_unread"),
                    models.Index(condition=models.Q(("for_digest", True)), fields=["organization", "user"], name="notice_for_digest"),
                    models.Index(fields=["organization", "alert"], name="notice_of_alert"),
                ],
                "constraints": [models.UniqueConstraint(fields=("organization", "user", "alert"), name="alert_notice_once_per_member")],
            },
        ),
        migrations.CreateModel(
            name="AlertSettings",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("levels", django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), default=billing.models.alerts.default_levels, size=None)),
                ("error_run", models.PositiveSmallIntegerField(default=10)),
                ("burn_score", models.FloatField(default=3.5)),
                ("rules_off", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=24), default=list, size=None)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization",), name="alert_settings_once_per_organization"), models.CheckConstraint(condition=models.Q(("error_run__gt", 0), ("burn_score__gt", 0)), name="alert_settings_positive")],
            },
        ),
        migrations.CreateModel(
            name="AlertPreferences",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("quiet_from", models.TimeField(blank=True, null=True)),
                ("quiet_until", models.TimeField(blank=True, null=True)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                ("critical_passes", models.BooleanField(default=True)),
                ("daily_digest", models.BooleanField(default=False)),
                ("digest_at", models.TimeField(default=datetime.time(8, 0))),
                ("digest_sent_on", models.DateField(editable=False, null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("user", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "user"), name="alert_preferences_once_per_member"),
                    models.CheckConstraint(condition=models.Q(models.Q(("quiet_from__isnull", True), ("quiet_until__isnull", True)), models.Q(("quiet_from__isnull", False), ("quiet_until__isnull", False)), _connector="OR"), name="alert_preferences_quiet_has_both_ends"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertSubscription",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("grant_used", "A grant is nearly used"),
                            ("pool_used", "A team's Tokens are nearly used"),
                            ("sub_token_used", "A sub-token's Tokens are nearly used"),
                            ("limit_used", "A limit is nearly reached"),
                            ("tokens_exhausted", "The organization has no Tokens left"),
                            ("grant_expiring", "A grant expires soon"),
                            ("sub_token_expiring", "A sub-token ends soon"),
                            ("errors_in_a_row", "A sub-token's calls fail one after the other"),
                            ("unusual_burn", "Unusually many Tokens are spent"),
                            ("payment_disputed", "A payment is disputed"),
                            ("debt_incurred", "The organization owes Tokens"),
                        ],
                        max_length=24,
                    ),
                ),
                ("channel", models.CharField(choices=[("inbox", "Portal"), ("mail", "Mail")], max_length=8)),
                ("wanted", models.BooleanField()),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("user", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "user", "rule", "channel"), name="alert_subscription_once_per_channel")],
            },
        ),
        migrations.CreateModel(
            name="AlertMute",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "rule",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("grant_used", "A grant is nearly used"),
                            ("pool_used", "A team's Tokens are nearly used"),
                            ("sub_token_used", "A sub-token's Tokens are nearly used"),
                            ("limit_used", "A limit is nearly reached"),
                            ("tokens_exhausted", "The organization has no Tokens left"),
                            ("grant_expiring", "A grant expires soon"),
                            ("sub_token_expiring", "A sub-token ends soon"),
                            ("errors_in_a_row", "A sub-token's calls fail one after the other"),
                            ("unusual_burn", "Unusually many Tokens are spent"),
                            ("payment_disputed", "A payment is disputed"),
                            ("debt_incurred", "The organization owes Tokens"),
                        ],
                        max_length=24,
                    ),
                ),
                ("subject_id", models.UUIDField(null=True)),
                ("subject_name", models.CharField(blank=True, max_length=200)),
                ("until", models.DateTimeField()),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("user", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "user"], name="alert_mute_of_member")],
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("kind", models.CharField(choices=[("signed", "Signed JSON"), ("slack", "Slack-compatible")], default="signed", max_length=8, verbose_name="kind")),
                ("url", models.CharField(max_length=500, verbose_name="address")),
                ("rules", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=24), blank=True, default=list, size=None, verbose_name="alerts")),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("sealed_secret", models.TextField(blank=True, editable=False)),
                ("sealed_previous", models.TextField(blank=True, editable=False)),
                ("previous_ends_at", models.DateTimeField(editable=False, null=True)),
                ("resting_until", models.DateTimeField(editable=False, null=True)),
                ("created_by", models.CharField(blank=True, default="", editable=False, max_length=254)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="webhook_endpoint_newest")],
                "constraints": [models.CheckConstraint(condition=models.Q(("kind__in", ["signed", "slack"])), name="webhook_endpoint_kind_known")],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("event_id", models.UUIDField()),
                ("event_type", models.CharField(max_length=40)),
                ("body", models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("status", models.CharField(choices=[("queued", "Waiting"), ("delivered", "Delivered"), ("failed", "Given up")], default="queued", max_length=10)),
                ("tried_since", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("claimed_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("log", models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("endpoint", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="deliveries", to="billing.webhookendpoint")),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("status", "queued")), fields=["due_at"], name="webhook_delivery_due"), models.Index(fields=["endpoint", "-id"], name="webhook_delivery_newest"), models.Index(fields=["created_at"], name="webhook_delivery_by_age")],
                "constraints": [models.UniqueConstraint(fields=("organization", "endpoint", "event_id"), name="webhook_delivery_once"), models.CheckConstraint(condition=models.Q(("status__in", ["queued", "delivered", "failed"])), name="webhook_delivery_status_known")],
            },
        ),
        TenantTable("billing_crossing", references=[("account_id", "billing_account"), ("grant_id", "billing_grant")]),
        TenantTable("billing_alert"),
        TenantTable("billing_alertnotice", references=[("alert_id", "billing_alert")]),
        TenantTable("billing_alertsettings"),
        TenantTable("billing_alertpreferences"),
        TenantTable("billing_alertsubscription"),
        TenantTable("billing_alertmute"),
        TenantTable("billing_webhookendpoint"),
        TenantTable("billing_webhookdelivery", references=[("endpoint_id", "billing_webhookendpoint")]),
    ]
