"""The price of a call, and the sub-tokens whose secrets make calls."""

from datetime import UTC, datetime

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable

APP, PLATFORM = settings.DATABASE_APP_ROLE, settings.DATABASE_PLATFORM_ROLE

# Staff alone write prices: what answers the web reads them, whatever it is made to do. A version once written stays as it
# is.
PRICES_ARE_THE_PLATFORMS = f"""
REVOKE INSERT, UPDATE, DELETE ON billing_pricebook FROM {APP};
REVOKE UPDATE, DELETE ON billing_pricebook FROM {PLATFORM};
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_pricebook
    FOR EACH STATEMENT EXECUTE FUNCTION tokensight_refuse_change();
"""

FIRST_PRICES = {
    "alpha": "1.0",
    "betas": {"n": "0.7", "s": "1.0", "m": "1.8", "l": "2.5", "x": "4.0"},
    "minimum_tokens": "0.01",
}


def write_first_price_book(apps, schema_editor):
    apps.get_model("billing", "PriceBook").objects.using(schema_editor.connection.alias).create(
        version=1,
        scheme="formula",
        parameters=FIRST_PRICES,
        active_from=datetime(2026, 1, 1, tzinfo=UTC),
        note="tokens = alpha * (img_size^2 / 640^2) * beta",
    )


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0003_sub_tokens_and_prices"),
        ("billing", "0004_prices_are_the_platforms"),
        ("billing", "0007_sub_token_life"),
    ]

    dependencies = [("billing", "0001_accounts")]

    operations = [
        migrations.CreateModel(
            name="PriceBook",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("version", models.PositiveIntegerField(unique=True, verbose_name="version")),
                ("scheme", models.CharField(choices=[("formula", "formula"), ("flat", "flat"), ("per_megapixel", "per_megapixel"), ("table", "table")], max_length=16, verbose_name="scheme")),
                ("parameters", models.JSONField(verbose_name="parameters")),
                ("active_from", models.DateTimeField(verbose_name="active from")),
                ("note", models.CharField(blank=True, default="", max_length=500, verbose_name="note")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("scheme__in", ["formula", "flat", "per_megapixel", "table"])), name="price_book_scheme_known"), models.CheckConstraint(condition=models.Q(("version__gt", 0)), name="price_book_version_positive")],
            },
        ),
        migrations.CreateModel(
            name="SubToken",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("prefix", models.CharField(max_length=16)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("mode", models.CharField(choices=[("allocated", "Own Tokens"), ("capped", "Draws on its parent, up to a quota")], max_length=16, verbose_name="mode")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                ("requests_per_second", models.DecimalField(blank=True, decimal_places=3, max_digits=9, null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name="requests per second")),
                ("burst", models.PositiveIntegerField(blank=True, null=True, verbose_name="burst")),
                ("concurrency", models.PositiveIntegerField(blank=True, null=True, verbose_name="concurrent calls")),
                ("tasks", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), blank=True, default=list, size=None, verbose_name="tasks")),
                ("ip_allow_list", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, size=None, verbose_name="IP allow-list")),
                ("on_exhausted", models.CharField(choices=[("reject", "Refuse the call"), ("wait", "Let the job wait until Tokens arrive")], default="reject", max_length=8, verbose_name="when Tokens run out")),
                ("priority_class", models.SmallIntegerField(choices=[(0, "High"), (1, "Normal"), (2, "Low")], default=1, verbose_name="priority")),
                ("created_by", models.CharField(blank=True, default="", max_length=254)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                ("last_used_ip", models.GenericIPAddressField(editable=False, null=True)),
                ("models", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None, verbose_name="models")),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="sub_tokens", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("team", models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.team")),
                ("next_reminder_at", models.DateTimeField(editable=False, null=True)),
                ("suspended_at", models.DateTimeField(editable=False, null=True)),
                ("tags", models.JSONField(blank=True, default=dict, verbose_name="tags")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="sub_token_newest"), models.Index(condition=models.Q(("next_reminder_at__isnull", False)), fields=["next_reminder_at"], name="sub_token_reminders")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "account"), name="sub_token_once_per_account"),
                    models.CheckConstraint(condition=models.Q(("mode__in", ["allocated", "capped"])), name="sub_token_mode_known"),
                    models.CheckConstraint(condition=models.Q(("on_exhausted__in", ["reject", "wait"])), name="sub_token_on_exhausted_known"),
                    models.CheckConstraint(condition=models.Q(("priority_class__in", [0, 1, 2])), name="sub_token_priority_known"),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("requests_per_second__isnull", True), ("requests_per_second__gt", 0), _connector="OR"), models.Q(("burst__isnull", True), ("burst__gt", 0), _connector="OR"), models.Q(("concurrency__isnull", True), ("concurrency__gt", 0), _connector="OR")),
                        name="sub_token_limits_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RetiredSecret",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("prefix", models.CharField(max_length=16)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("ends_at", models.DateTimeField()),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("sub_token", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name="retired_secrets", to="billing.subtoken")),
            ],
            options={
                "abstract": False,
            },
        ),
        TenantTable("billing_subtoken", references=[("account_id", "billing_account"), ("team_id", "tenants_team")]),
        TenantTable("billing_retiredsecret", references=[("sub_token_id", "billing_subtoken")]),
        SqlFile(__file__, "sub_tokens"),
        migrations.RunSQL(PRICES_ARE_THE_PLATFORMS),
        migrations.RunPython(write_first_price_book, migrations.RunPython.noop),
    ]
