"""Codes: which there are, what they are worth, who guessed and who redeemed."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import TenantTable

APP, PLATFORM = settings.DATABASE_APP_ROLE, settings.DATABASE_PLATFORM_ROLE

# What codes are worth and which there are is the platform's business: the web looks them up through its door alone.
CODES_ARE_THE_PLATFORMS = f"""
REVOKE ALL ON billing_codeset, billing_code FROM {APP};
REVOKE DELETE ON billing_codeset, billing_code FROM {PLATFORM};
"""


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0021_codes"),
    ]

    dependencies = [("billing", "0005_plans")]

    operations = [
        migrations.CreateModel(
            name="CodeSet",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=120)),
                ("benefit", models.CharField(choices=[("tokens", "Tokens at once"), ("bonus_tokens", "Tokens on top of a purchase"), ("bonus_percent", "Percent more Tokens with a purchase"), ("discount_percent", "Percent off a purchase")], max_length=16)),
                ("tokens_mtok", models.BigIntegerField(null=True)),
                ("percent", models.PositiveSmallIntegerField(null=True)),
                ("valid_days", models.PositiveIntegerField(null=True)),
                ("uses_per_organization", models.PositiveIntegerField(null=True)),
                ("first_purchase_only", models.BooleanField(default=False)),
                ("expires_at", models.DateTimeField(null=True)),
                ("made_by", models.CharField(max_length=254)),
                ("reason", models.CharField(max_length=500)),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.CharField(blank=True, default="", max_length=254)),
                ("idempotency_key", models.CharField(max_length=200, unique=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("benefit__in", ["tokens", "bonus_tokens", "bonus_percent", "discount_percent"])), name="code_set_benefit_known"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("benefit__in", ["tokens", "bonus_tokens"]), ("percent__isnull", True), ("tokens_mtok__gt", 0)),
                            models.Q(("benefit", "bonus_percent"), ("percent__range", (1, 1000)), ("tokens_mtok__isnull", True)),
                            models.Q(("benefit", "discount_percent"), ("percent__range", (1, 90)), ("tokens_mtok__isnull", True)),
                            _connector="OR",
                        ),
                        name="code_set_benefit_complete",
                    ),
                    models.CheckConstraint(condition=models.Q(("valid_days__gt", 0)), name="code_set_validity_positive"),
                    models.CheckConstraint(condition=models.Q(("uses_per_organization__gt", 0)), name="code_set_uses_positive"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Code",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("hint", models.CharField(max_length=16)),
                ("max_uses", models.PositiveIntegerField(default=1)),
                ("uses", models.PositiveIntegerField(default=0)),
                ("ended_at", models.DateTimeField(null=True)),
                ("code_set", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="codes", to="billing.codeset")),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("max_uses__gt", 0), ("uses__range", (0, models.F("max_uses")))), name="code_uses_bounded")],
            },
        ),
        migrations.CreateModel(
            name="CodeGuess",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("actor", models.CharField(max_length=100)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-created_at"], name="code_guess_of_organization"), models.Index(fields=["actor", "-created_at"], name="code_guess_of_person")],
            },
        ),
        migrations.CreateModel(
            name="CodeRedemption",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("slot", models.PositiveIntegerField(null=True)),
                ("status", models.CharField(choices=[("reserved", "Reserved"), ("redeemed", "Redeemed"), ("released", "Released")], max_length=16)),
                ("benefit", models.CharField(choices=[("tokens", "Tokens at once"), ("bonus_tokens", "Tokens on top of a purchase"), ("bonus_percent", "Percent more Tokens with a purchase"), ("discount_percent", "Percent off a purchase")], max_length=16)),
                ("percent", models.PositiveSmallIntegerField(null=True)),
                ("hint", models.CharField(max_length=16)),
                ("tokens_mtok", models.BigIntegerField(default=0)),
                ("valid_days", models.PositiveIntegerField(null=True)),
                ("discount_minor", models.BigIntegerField(default=0)),
                ("idempotency_key", models.CharField(max_length=200)),
                ("actor", models.CharField(blank=True, default="", max_length=254)),
                ("settled_at", models.DateTimeField(null=True)),
                ("code", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="billing.code")),
                ("grant", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("payment", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="codes", to="billing.payment")),
                ("code_set", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="redemptions", to="billing.codeset")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "code_set", "slot"), name="redemption_slot_once"),
                    models.UniqueConstraint(fields=("organization", "idempotency_key"), name="redemption_once_per_key"),
                    models.UniqueConstraint(condition=models.Q(("payment__isnull", False), models.Q(("status", "released"), _negated=True)), fields=("organization", "payment"), name="redemption_once_per_payment"),
                    models.CheckConstraint(condition=models.Q(("status__in", ["reserved", "redeemed", "released"])), name="redemption_status_known"),
                    models.CheckConstraint(condition=models.Q(("benefit__in", ["tokens", "bonus_tokens", "bonus_percent", "discount_percent"])), name="redemption_benefit_known"),
                    models.CheckConstraint(condition=models.Q(("discount_minor__gte", 0), ("tokens_mtok__gte", 0)), name="redemption_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("grant__isnull", True), ("status", "redeemed"), ("tokens_mtok", 0)), models.Q(("grant__isnull", False), ("status", "redeemed"), ("tokens_mtok__gt", 0)), models.Q(("grant__isnull", True), ("status__in", ["reserved", "released"])), _connector="OR"),
                        name="redemption_granted_when_redeemed",
                    ),
                ],
            },
        ),
        TenantTable("billing_codeguess"),
        TenantTable("billing_coderedemption", references=[("grant_id", "billing_grant"), ("payment_id", "billing_payment")]),
        migrations.RunSQL(CODES_ARE_THE_PLATFORMS),
    ]
