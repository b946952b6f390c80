"""Accounts of Tokens, what moves between them, and what the database refuses by itself."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable

HOLD_RESOLVES_ONCE = """
ALTER TABLE billing_hold ADD CONSTRAINT hold_resolves_once CHECK (
    (status = 'held') = (resolved_at IS NULL)
    AND (status = 'captured') = (transfer_id IS NOT NULL)
    AND (status = 'captured') = (captured_mtok > 0)
    AND captured_mtok BETWEEN 0 AND amount_mtok
)
"""
# Room for updates in the same page: these rows are updated with every call.
ROOM = """
ALTER TABLE billing_account SET (fillfactor = 50);
ALTER TABLE billing_lot SET (fillfactor = 50);
ALTER TABLE billing_dailyburn SET (fillfactor = 70);
"""


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("billing", "0001_ledger"),
        ("billing", "0002_ledger_walls"),
        ("billing", "0005_team_with_pool_stays"),
        ("billing", "0006_kept_plans"),
        ("billing", "0010_lock_for_resolving"),
        ("billing", "0012_cheaper_captures"),
        ("billing", "0013_anonymise_ledger"),
        ("billing", "0016_limits_give_back"),
        ("billing", "0017_rare_transfers"),
        ("billing", "0022_freezes_and_debts"),
        ("billing", "0023_entries_of_an_account"),
        ("billing", "0030_lock_for_holds"),
    ]

    dependencies = [("tenants", "0005_joining")]

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("kind", models.CharField(choices=[("org_wallet", "Organization"), ("team_pool", "Team pool"), ("sub_token", "Sub-token"), ("issued", "Issued"), ("consumed", "Consumed"), ("expired", "Expired"), ("refunded", "Refunded")], max_length=16)),
                ("mode", models.CharField(choices=[("ring_fenced", "Own Tokens"), ("capped", "Draws on its parent, up to a cap")], default="ring_fenced", max_length=16)),
                ("label", models.CharField(blank=True, default="", max_length=200)),
                ("cap_mtok", models.BigIntegerField(blank=True, null=True)),
                ("drawn_mtok", models.BigIntegerField(default=0)),
                ("posted_mtok", models.BigIntegerField(default=0)),
                ("held_mtok", models.BigIntegerField(default=0)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("parent", models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="children", to="billing.account")),
                ("team", models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.team")),
                ("revision", models.BigIntegerField(db_default=0, default=0, editable=False)),
                ("limited_by", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, editable=False, null=True, size=None)),
                ("watch_at_mtok", models.BigIntegerField(editable=False, null=True)),
                ("watch_base_mtok", models.BigIntegerField(default=0, editable=False)),
                ("watch_level", models.SmallIntegerField(default=0, editable=False)),
                ("watch_period", models.IntegerField(default=0, editable=False)),
                ("watch_start_mtok", models.BigIntegerField(default=0, editable=False)),
                ("auto_below_mtok", models.BigIntegerField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("kind__in", ["team_pool", "sub_token"]), _negated=True), fields=("organization", "kind"), name="account_once_per_organization"),
                    models.CheckConstraint(condition=models.Q(("held_mtok__gte", 0), models.Q(("posted_mtok__gte", models.F("held_mtok")), ("kind", "issued"), _connector="OR")), name="account_available_not_negative"),
                    models.CheckConstraint(condition=models.Q(("drawn_mtok__range", (0, models.F("cap_mtok")))), name="account_drawn_within_cap"),
                    models.CheckConstraint(condition=models.Q(("posted_mtok", 0), ("drawn_mtok", 0), _connector="OR"), name="account_owns_or_draws"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("source", models.CharField(choices=[("trial", "Free trial"), ("purchase", "Purchase"), ("promotion", "Promotion"), ("plan", "Plan"), ("manual", "Given by staff")], max_length=16)),
                ("amount_mtok", models.BigIntegerField()),
                ("priority", models.SmallIntegerField(default=50)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
                ("reference", models.CharField(blank=True, default="", max_length=200)),
                ("actor", models.CharField(blank=True, default="", max_length=254)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("amount_mtok__gt", 0)), name="grant_amount_positive"), models.CheckConstraint(condition=models.Q(("source__in", ["trial", "purchase", "promotion", "plan", "manual"])), name="grant_source_known")],
            },
        ),
        migrations.CreateModel(
            name="Lot",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("posted_mtok", models.BigIntegerField(default=0)),
                ("held_mtok", models.BigIntegerField(default=0)),
                ("priority", models.SmallIntegerField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("granted_at", models.DateTimeField()),
                ("spent", models.GeneratedField(db_persist=True, expression=models.ExpressionWrapper(models.Q(("posted_mtok", 0)), output_field=models.BooleanField()), output_field=models.BooleanField())),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="lots", to="billing.account")),
                ("grant", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="lots", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("watch_below_mtok", models.BigIntegerField(editable=False, null=True)),
                ("frozen", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("expires_at__isnull", False), ("spent", False)), fields=["expires_at"], name="lot_to_expire"), models.Index(condition=models.Q(("frozen", False), ("spent", False)), fields=["account", "priority", "expires_at", "granted_at", "id"], name="lot_to_burn")],
                "constraints": [models.UniqueConstraint(fields=("organization", "account", "grant"), name="lot_once_per_account_and_grant"), models.CheckConstraint(condition=models.Q(("held_mtok__range", (0, models.F("posted_mtok")))), name="lot_available_not_negative")],
            },
        ),
        migrations.CreateModel(
            name="Transfer",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("kind", models.CharField(choices=[("grant", "Grant"), ("allocation", "Allocation"), ("reclaim", "Reclaim"), ("move", "Move sideways"), ("capture", "Capture"), ("expiry", "Expiry"), ("reversal", "Reversal"), ("settlement", "Debt settled")], max_length=16)),
                ("path", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ("idempotency_key", models.CharField(blank=True, max_length=255, null=True)),
                ("reference", models.CharField(blank=True, default="", max_length=200)),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
                ("actor", models.CharField(blank=True, default="", max_length=254)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("reverses", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="reversals", to="billing.transfer")),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("reverses__isnull", False)), fields=["reverses"], name="transfer_reversal"), models.Index(condition=models.Q(("kind", "capture"), _negated=True), fields=["organization", "id"], name="transfer_but_captures")],
                "constraints": [models.UniqueConstraint(fields=("organization", "idempotency_key"), name="transfer_once_per_key"), models.CheckConstraint(condition=models.Q(("kind__in", ["grant", "allocation", "reclaim", "move", "capture", "expiry", "reversal", "settlement"])), name="transfer_kind_known")],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("amount_mtok", models.BigIntegerField()),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("grant", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.grant")),
                ("transfer", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.transfer")),
            ],
            options={
                "verbose_name_plural": "entries",
                "indexes": [models.Index(fields=["account", "transfer"], name="entry_by_account_and_transfer")],
                "constraints": [models.CheckConstraint(condition=models.Q(("amount_mtok", 0), _negated=True), name="entry_moves_something")],
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("path", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ("amount_mtok", models.BigIntegerField()),
                ("captured_mtok", models.BigIntegerField(default=0)),
                ("status", models.CharField(choices=[("held", "Held"), ("captured", "Captured"), ("released", "Released"), ("expired", "Expired")], default="held", max_length=16)),
                ("lots", models.JSONField()),
                ("idempotency_key", models.CharField(max_length=255)),
                ("owner_id", models.UUIDField()),
                ("deadline", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("funding", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("transfer", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.transfer")),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("status", "held")), fields=["deadline"], name="hold_open_by_deadline"),
                    models.Index(condition=models.Q(("status", "held")), fields=["account"], name="hold_open_by_account"),
                    django.contrib.postgres.indexes.BrinIndex(fields=["created_at"], name="hold_by_time"),
                ],
                "constraints": [models.UniqueConstraint(fields=("organization", "idempotency_key"), name="hold_once_per_key"), models.CheckConstraint(condition=models.Q(("amount_mtok__gt", 0)), name="hold_amount_positive")],
            },
        ),
        migrations.CreateModel(
            name="DailyBurn",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("day", models.DateField()),
                ("captured_mtok", models.BigIntegerField(default=0)),
                ("captures", models.BigIntegerField(default=0)),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.account")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "day", "account"), name="daily_burn_once_per_account")],
            },
        ),
        migrations.CreateModel(
            name="Freeze",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("reference", models.CharField(max_length=200)),
                ("thawed_at", models.DateTimeField(blank=True, null=True)),
                ("grant", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="freezes", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "grant", "reference"), name="freeze_once_per_reference")],
            },
        ),
        migrations.CreateModel(
            name="Debt",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("cause", models.CharField(choices=[("refund", "Refund"), ("dispute", "Lost dispute")], max_length=16)),
                ("reference", models.CharField(max_length=200)),
                ("owed_mtok", models.BigIntegerField()),
                ("settled_mtok", models.BigIntegerField(default=0)),
                ("dropped_mtok", models.BigIntegerField(default=0)),
                ("voided_at", models.DateTimeField(blank=True, null=True)),
                ("outstanding", models.GeneratedField(db_persist=True, expression=models.ExpressionWrapper(models.Q(("owed_mtok__gt", django.db.models.expressions.CombinedExpression(models.F("settled_mtok"), "+", models.F("dropped_mtok")))), output_field=models.BooleanField()), output_field=models.BooleanField())),
                ("grant", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="debts", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("outstanding", True)), fields=["organization"], name="debt_outstanding")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "reference"), name="debt_once_per_reference"),
                    models.CheckConstraint(condition=models.Q(("cause__in", ["refund", "dispute"])), name="debt_cause_known"),
                    models.CheckConstraint(condition=models.Q(("dropped_mtok__gte", 0), ("owed_mtok__gt", 0), ("settled_mtok__gte", 0), ("owed_mtok__gte", django.db.models.expressions.CombinedExpression(models.F("settled_mtok"), "+", models.F("dropped_mtok")))), name="debt_settled_within_owed"),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerCheck",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("checked_at", models.DateTimeField()),
                ("granted_mtok", models.BigIntegerField()),
                ("available_mtok", models.BigIntegerField()),
                ("held_mtok", models.BigIntegerField()),
                ("consumed_mtok", models.BigIntegerField()),
                ("expired_mtok", models.BigIntegerField()),
                ("refunded_mtok", models.BigIntegerField()),
                ("discrepancies", models.JSONField(default=list)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("frozen_mtok", models.BigIntegerField(db_default=0, default=0)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization",), name="ledger_check_once_per_organization")],
            },
        ),
        TenantTable("billing_account", references=[("parent_id", "billing_account"), ("team_id", "tenants_team")]),
        TenantTable("billing_grant", append_only=True),
        TenantTable("billing_lot", references=[("account_id", "billing_account"), ("grant_id", "billing_grant")]),
        TenantTable("billing_transfer", references=[("reverses_id", "billing_transfer")], append_only=True),
        TenantTable(
            "billing_entry",
            references=[
                ("transfer_id", "billing_transfer"),
                ("account_id", "billing_account"),
                ("grant_id", "billing_grant"),
            ],
            append_only=True,
        ),
        TenantTable(
            "billing_hold",
            references=[
                ("account_id", "billing_account"),
                ("funding_id", "billing_account"),
                ("transfer_id", "billing_transfer"),
            ],
        ),
        TenantTable("billing_dailyburn", references=[("account_id", "billing_account")], scope_once=True),
        TenantTable("billing_freeze", references=[("grant_id", "billing_grant")]),
        TenantTable("billing_debt", references=[("grant_id", "billing_grant")]),
        TenantTable("billing_ledgercheck"),
        migrations.RunSQL(HOLD_RESOLVES_ONCE),
        migrations.RunSQL(ROOM),
        SqlFile(__file__, "identifiers"),
        SqlFile(__file__, "guards"),
    ]
