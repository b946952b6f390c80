"""What is sold, what was paid and paid back, and what Stripe says of it."""

import django.contrib.postgres.fields
import django.core.serializers.json
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import TenantTable

APP = settings.DATABASE_APP_ROLE

# What Stripe sent, and how it compares with the ledger, is the platform's business; the web shows what is sold.
THE_PLATFORMS = f"""
REVOKE ALL ON billing_stripeevent, billing_reconciliationrun FROM {APP};
REVOKE INSERT, UPDATE, DELETE ON billing_package, billing_topuptier FROM {APP};
"""

# name, Tokens, price in fen and in cents, valid for days
FIRST_PACKAGES = (
    ("Starter", 1_000, 10_00, 1_50, 180),
    ("Workshop", 10_000, 95_00, 13_50, 365),
    ("Line", 100_000, 880_00, 125_00, 365),
    ("Plant", 1_000_000, 8_000_00, 1_120_00, 730),
)
# Tokens, price of 1,000 in fen and in cents, valid for days: as the first packages.
FIRST_TIERS = (
    (500, 10_00, 1_50, 180),
    (10_000, 9_50, 1_35, 365),
    (100_000, 8_80, 1_25, 365),
    (1_000_000, 8_00, 1_12, 730),
)


def write_first_offers(apps, schema_editor):
    alias = schema_editor.connection.alias
    packages = apps.get_model("billing", "Package").objects.using(alias)
    packages.bulk_create(
        packages.model(
            name=name, tokens_mtok=tokens * 1000, price_minor=price, currency=currency, valid_days=days, position=place
        )
        for place, (name, tokens, fen, cents, days) in enumerate(FIRST_PACKAGES, start=1)
        for currency, price in (("CNY", fen), ("USD", cents))
    )
    tiers = apps.get_model("billing", "TopUpTier").objects.using(alias)
    tiers.bulk_create(
        tiers.model(currency=currency, from_mtok=tokens * 1000, minor_per_thousand=price, valid_days=days)
        for tokens, fen, cents, days in FIRST_TIERS
        for currency, price in (("CNY", fen), ("USD", cents))
    )


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0008_packages_and_reversals"),
        ("billing", "0018_payments"),
        ("billing", "0025_auto_top_up"),
        ("billing", "0026_refunds_and_disputes"),
        ("billing", "0027_bonus_of_refunds_and_disputes"),
    ]

    dependencies = [("billing", "0003_limits")]

    operations = [
        migrations.CreateModel(
            name="Package",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("tokens_mtok", models.BigIntegerField(verbose_name="Tokens")),
                ("price_minor", models.BigIntegerField(verbose_name="price")),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3, verbose_name="currency")),
                ("valid_days", models.PositiveIntegerField(blank=True, null=True, verbose_name="valid for days")),
                ("active", models.BooleanField(default=True, verbose_name="on sale")),
                ("position", models.PositiveIntegerField(default=0, verbose_name="position")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("models", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None, verbose_name="models")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("name", "currency"), name="package_once_per_currency"),
                    models.CheckConstraint(condition=models.Q(("tokens_mtok__gt", 0)), name="package_tokens_positive"),
                    models.CheckConstraint(condition=models.Q(("price_minor__gte", 0)), name="package_price_not_negative"),
                    models.CheckConstraint(condition=models.Q(("valid_days__gt", 0)), name="package_validity_positive"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="package_currency_known"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TopUpTier",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("from_mtok", models.BigIntegerField()),
                ("minor_per_thousand", models.BigIntegerField()),
                ("valid_days", models.PositiveIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("currency", "from_mtok"), name="top_up_tier_once"),
                    models.CheckConstraint(condition=models.Q(("from_mtok__gt", 0)), name="top_up_tier_from_positive"),
                    models.CheckConstraint(condition=models.Q(("minor_per_thousand__gt", 0)), name="top_up_tier_price_positive"),
                    models.CheckConstraint(condition=models.Q(("valid_days__gt", 0)), name="top_up_tier_validity_positive"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="top_up_tier_currency_known"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BillingCustomer",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("stripe_id", models.CharField(max_length=64, unique=True)),
                ("card_payment_method_id", models.CharField(blank=True, default="", max_length=64)),
                ("card_brand", models.CharField(blank=True, default="", max_length=24)),
                ("card_last4", models.CharField(blank=True, default="", max_length=4)),
                ("card_expires_month", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("card_expires_year", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization",), name="billing_customer_once_per_organization")],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("kind", models.CharField(choices=[("topup", "Top-up"), ("auto_topup", "Auto top-up"), ("plan", "Plan"), ("boost", "Boost")], default="topup", max_length=12)),
                ("status", models.CharField(choices=[("open", "Not paid yet"), ("processing", "Waiting for the bank"), ("paid", "Paid"), ("failed", "Failed"), ("expired", "Expired")], default="open", max_length=12)),
                ("idempotency_key", models.CharField(blank=True, default="", max_length=255)),
                ("created_by", models.CharField(blank=True, default="", max_length=254)),
                ("tokens_mtok", models.BigIntegerField()),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("amount_minor", models.BigIntegerField()),
                ("discount_minor", models.BigIntegerField(default=0)),
                ("tax_minor", models.BigIntegerField(default=0)),
                ("refunded_minor", models.BigIntegerField(default=0)),
                ("label", models.CharField(blank=True, default="", max_length=120)),
                ("valid_days", models.PositiveIntegerField(blank=True, null=True)),
                ("checkout_session_id", models.CharField(blank=True, default="", max_length=120)),
                ("payment_intent_id", models.CharField(blank=True, default="", max_length=120)),
                ("charge_id", models.CharField(blank=True, default="", max_length=120)),
                ("invoice_id", models.CharField(blank=True, default="", max_length=120)),
                ("checkout_url", models.TextField(blank=True, default="")),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("method", models.CharField(blank=True, default="", max_length=80)),
                ("invoice_number", models.CharField(blank=True, default="", max_length=80)),
                ("invoice_url", models.TextField(blank=True, default="")),
                ("invoice_pdf", models.TextField(blank=True, default="")),
                ("receipt_url", models.TextField(blank=True, default="")),
                ("failure_code", models.CharField(blank=True, default="", max_length=80)),
                ("alarm", models.CharField(blank=True, default="", max_length=300)),
                ("paid_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("models", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None)),
                ("grant", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="payments", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("package", models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.package")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="payment_newest"),
                    models.Index(condition=models.Q(("status", "paid")), fields=["paid_at"], name="payment_by_time_paid"),
                    models.Index(condition=models.Q(("status__in", ["open", "processing"])), fields=["created_at"], name="payment_unsettled"),
                    models.Index(condition=models.Q(("alarm", ""), _negated=True), fields=["id"], name="payment_alarmed"),
                ],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("kind__in", ["topup", "auto_topup", "plan", "boost"])), name="payment_kind_known"),
                    models.CheckConstraint(condition=models.Q(("status__in", ["open", "processing", "paid", "failed", "expired"])), name="payment_status_known"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="payment_currency_known"),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gte", 0), ("tax_minor__gte", 0), ("tokens_mtok__gte", 0)), name="payment_not_negative"),
                    models.CheckConstraint(condition=models.Q(("discount_minor__range", (0, models.F("amount_minor")))), name="payment_discount_within_amount"),
                    models.CheckConstraint(condition=models.Q(("refunded_minor__range", (0, django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F("amount_minor"), "-", models.F("discount_minor")), "+", models.F("tax_minor"))))), name="payment_refunded_within_total"),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("paid_at__isnull", False), ("status", "paid"), models.Q(("grant__isnull", False), ("tokens_mtok", 0), _connector="OR")), models.Q(models.Q(("status", "paid"), _negated=True), ("grant__isnull", True), ("paid_at__isnull", True)), _connector="OR"),
                        name="payment_paid_has_its_grant",
                    ),
                    models.UniqueConstraint(condition=models.Q(("idempotency_key", ""), _negated=True), fields=("organization", "idempotency_key"), name="payment_once_per_key"),
                    models.UniqueConstraint(condition=models.Q(("grant__isnull", False)), fields=("organization", "grant"), name="payment_once_per_grant"),
                    models.UniqueConstraint(condition=models.Q(("checkout_session_id", ""), _negated=True), fields=("checkout_session_id",), name="payment_once_per_session"),
                    models.UniqueConstraint(condition=models.Q(("payment_intent_id", ""), _negated=True), fields=("payment_intent_id",), name="payment_once_per_intent"),
                    models.UniqueConstraint(condition=models.Q(("charge_id", ""), _negated=True), fields=("charge_id",), name="payment_once_per_charge"),
                    models.UniqueConstraint(condition=models.Q(("invoice_id", ""), _negated=True), fields=("invoice_id",), name="payment_once_per_invoice"),
                    models.UniqueConstraint(condition=models.Q(("kind", "auto_topup"), ("status__in", ["open", "processing"])), fields=("organization",), name="payment_one_automatic_at_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AutoTopUp",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("status", models.CharField(choices=[("off", "Off"), ("on", "On"), ("waiting", "Waiting for the bank"), ("confirm", "Needs your confirmation"), ("declined", "Declined, tried again later"), ("ceiling", "Waiting for the next month"), ("stopped", "Stopped")], default="off", max_length=12)),
                (
                    "stop_reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", ""),
                            ("velocity", "More payments in a short time than you allow"),
                            ("declined", "The card was declined again and again"),
                            ("unconfirmed", "A payment was not confirmed in time"),
                            ("no_card", "There is no saved card any more"),
                            ("no_offer", "What was to be bought is no longer on sale"),
                            ("refused", "The payment could not be made"),
                        ],
                        default="",
                        max_length=12,
                    ),
                ),
                ("threshold_mtok", models.BigIntegerField()),
                ("tokens_mtok", models.BigIntegerField(blank=True, null=True)),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("ceiling_minor", models.BigIntegerField()),
                ("most_per_hour", models.PositiveSmallIntegerField(default=2)),
                ("most_per_day", models.PositiveSmallIntegerField(default=5)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("counted_from", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_by", models.CharField(blank=True, default="", max_length=254)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("package", models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.package")),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="auto_top_up_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization",), name="auto_top_up_once_per_organization"),
                    models.CheckConstraint(condition=models.Q(("status__in", ["off", "on", "waiting", "confirm", "declined", "ceiling", "stopped"])), name="auto_top_up_status_known"),
                    models.CheckConstraint(condition=models.Q(models.Q(("status", "stopped"), models.Q(("stop_reason", ""), _negated=True)), models.Q(models.Q(("status", "stopped"), _negated=True), ("stop_reason", "")), _connector="OR"), name="auto_top_up_stopped_for_a_reason"),
                    models.CheckConstraint(condition=models.Q(models.Q(("package__isnull", False), ("tokens_mtok__isnull", True)), models.Q(("package__isnull", True), ("tokens_mtok__gt", 0)), _connector="OR"), name="auto_top_up_buys_one_thing"),
                    models.CheckConstraint(condition=models.Q(("ceiling_minor__gt", 0), ("most_per_day__gt", 0), ("most_per_hour__gt", 0), ("threshold_mtok__gt", 0)), name="auto_top_up_bounds_positive"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("origin", models.CharField(choices=[("customer", "Asked for here"), ("staff", "By staff"), ("stripe", "Made at Stripe")], max_length=12)),
                ("status", models.CharField(choices=[("reserved", "Being sent"), ("pending", "On its way"), ("succeeded", "Paid back"), ("failed", "Failed, Tokens given back")], default="reserved", max_length=12)),
                ("tokens_mtok", models.BigIntegerField()),
                ("taken_mtok", models.BigIntegerField(default=0)),
                ("bonus_mtok", models.BigIntegerField(default=0)),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("amount_minor", models.BigIntegerField()),
                ("tax_minor", models.BigIntegerField(default=0)),
                ("stripe_id", models.CharField(blank=True, default="", max_length=120)),
                ("idempotency_key", models.CharField(blank=True, default="", max_length=255)),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
                ("actor", models.CharField(blank=True, default="", max_length=254)),
                ("failure_code", models.CharField(blank=True, default="", max_length=80)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("payment", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="billing.payment")),
                ("bonus_taken_mtok", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="refund_newest"), models.Index(condition=models.Q(("next_try_at__isnull", False)), fields=["next_try_at"], name="refund_due")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("origin__in", ["customer", "staff", "stripe"])), name="refund_origin_known"),
                    models.CheckConstraint(condition=models.Q(("status__in", ["reserved", "pending", "succeeded", "failed"])), name="refund_status_known"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="refund_currency_known"),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gt", 0), ("taken_mtok__range", (0, models.F("tokens_mtok"))), ("tokens_mtok__gte", 0), ("bonus_mtok__gte", 0), ("tax_minor__range", (0, models.F("amount_minor")))), name="refund_amounts_fit"),
                    models.UniqueConstraint(condition=models.Q(("idempotency_key", ""), _negated=True), fields=("organization", "idempotency_key"), name="refund_once_per_key"),
                    models.UniqueConstraint(condition=models.Q(("stripe_id", ""), _negated=True), fields=("stripe_id",), name="refund_once_at_stripe"),
                    models.CheckConstraint(condition=models.Q(("bonus_taken_mtok__range", (0, models.F("bonus_mtok")))), name="refund_bonus_fits"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Dispute",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("stripe_id", models.CharField(max_length=120, unique=True)),
                ("status", models.CharField(choices=[("open", "Open"), ("won", "Won"), ("lost", "Lost")], default="open", max_length=8)),
                ("stripe_status", models.CharField(max_length=40)),
                ("reason", models.CharField(blank=True, default="", max_length=80)),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("amount_minor", models.BigIntegerField()),
                ("tokens_mtok", models.BigIntegerField()),
                ("taken_mtok", models.BigIntegerField(default=0)),
                ("evidence_due_at", models.DateTimeField(blank=True, null=True)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("payment", models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="disputes", to="billing.payment")),
                ("bonus_mtok", models.BigIntegerField(default=0)),
                ("bonus_taken_mtok", models.BigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "-id"], name="dispute_newest"), models.Index(condition=models.Q(("next_try_at__isnull", False)), fields=["next_try_at"], name="dispute_due")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("status__in", ["open", "won", "lost"])), name="dispute_status_known"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="dispute_currency_known"),
                    models.CheckConstraint(condition=models.Q(("amount_minor__gte", 0), ("taken_mtok__range", (0, models.F("tokens_mtok")))), name="dispute_amounts_fit"),
                    models.CheckConstraint(condition=models.Q(("bonus_taken_mtok__range", (0, models.F("bonus_mtok")))), name="dispute_bonus_fits"),
                ],
            },
        ),
        migrations.CreateModel(
            name="StripeEvent",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("event_id", models.CharField(max_length=120, unique=True)),
                ("type", models.CharField(max_length=80)),
                ("api_version", models.CharField(blank=True, default="", max_length=40)),
                ("livemode", models.BooleanField(default=False)),
                ("account", models.CharField(blank=True, default="", max_length=64)),
                ("payload", models.JSONField()),
                ("happened_at", models.DateTimeField()),
                ("received_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("status", models.CharField(choices=[("received", "Waiting"), ("processed", "Processed"), ("ignored", "Not for us"), ("failed", "Failed")], default="received", max_length=10)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
                ("last_error", models.CharField(blank=True, default="", max_length=500)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("acts", models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder)),
            ],
            options={
                "indexes": [models.Index(condition=models.Q(("next_try_at__isnull", False)), fields=["next_try_at"], name="stripe_event_due"), models.Index(fields=["-received_at"], name="stripe_event_newest"), models.Index(fields=["status", "-received_at"], name="stripe_event_by_status")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("status__in", ["received", "processed", "ignored", "failed"])), name="stripe_event_status_known"),
                    models.CheckConstraint(condition=models.Q(models.Q(("finished_at__isnull", False), ("next_try_at__isnull", True), ("status__in", ["processed", "ignored"])), models.Q(("finished_at__isnull", True), ("status__in", ["received", "failed"])), _connector="OR"), name="stripe_event_finished_or_not"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReconciliationRun",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("stripe_payments", models.PositiveIntegerField(default=0)),
                ("ledger_payments", models.PositiveIntegerField(default=0)),
                ("repaired", models.PositiveIntegerField(default=0)),
                ("differences", models.JSONField(default=list)),
                ("error", models.CharField(blank=True, default="", max_length=300)),
            ],
            options={
                "indexes": [models.Index(fields=["-began_at"], name="reconciliation_newest")],
            },
        ),
        TenantTable("billing_billingcustomer"),
        TenantTable("billing_payment", references=[("grant_id", "billing_grant")]),
        TenantTable("billing_autotopup"),
        TenantTable("billing_refund", references=[("payment_id", "billing_payment")]),
        TenantTable("billing_dispute", references=[("payment_id", "billing_payment")]),
        migrations.RunSQL(THE_PLATFORMS),
        migrations.RunPython(write_first_offers, migrations.RunPython.noop),
    ]
