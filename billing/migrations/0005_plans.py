"""Plans and their prices, who is on which, and boosts."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import TenantTable

# What is sold is the platform's business: the web reads it.
THE_PLATFORMS = f"""
REVOKE INSERT, UPDATE, DELETE ON billing_plan, billing_planprice, billing_boostoffer FROM {settings.DATABASE_APP_ROLE}
"""

# key, name, Tokens per month and per hour, requests per second, calls at a time, weight, days of a sub-token, price per
# month in fen and in cents
FIRST_PLANS = (
    ("free", "Free", 0, 1_000, 1, 2, 1, 30, None, None),
    ("basic", "Basic", 10_000, 5_000, 1, 4, 2, 90, 99_00, 14_00),
    ("advanced", "Advanced", 100_000, 50_000, 10, 20, 4, 365, 899_00, 129_00),
    ("enterprise", "Enterprise", 0, None, 1_000, 256, 8, 365, None, None),
)
# name, factor, hours, price in fen and in cents
FIRST_BOOSTS = (("Double for 4 hours", 2, 4, 19_00, 2_90), ("Five times for a day", 5, 24, 129_00, 18_00))


def write_first_plans(apps, schema_editor):
    alias = schema_editor.connection.alias
    plans = apps.get_model("billing", "Plan").objects.using(alias)
    prices = apps.get_model("billing", "PlanPrice").objects.using(alias)
    for place, (key, name, monthly, hourly, rate, calls, weight, days, fen, cents) in enumerate(FIRST_PLANS, start=1):
        plan = plans.create(
            key=key,
            name=name,
            monthly_mtok=monthly * 1000,
            tokens_per_hour_mtok=hourly and hourly * 1000,
            requests_per_second=rate,
            concurrency=calls,
            weight=weight,
            sub_token_days=days,
            position=place * 10,
            initial=key == "free",
        )
        for currency, price in (("CNY", fen), ("USD", cents)):
            if price:
                prices.create(plan=plan, currency=currency, price_minor=price)
    offers = apps.get_model("billing", "BoostOffer").objects.using(alias)
    offers.bulk_create(
        offers.model(name=name, factor=factor, hours=hours, price_minor=price, currency=currency, position=place)
        for place, (name, factor, hours, fen, cents) in enumerate(FIRST_BOOSTS, start=1)
        for currency, price in (("CNY", fen), ("USD", cents))
    )


class Migration(migrations.Migration):
    replaces = [
        ("billing", "0019_plans"),
        ("billing", "0024_subscription_looks"),
    ]

    dependencies = [("billing", "0004_payments")]

    operations = [
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("key", models.SlugField(max_length=40, unique=True)),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("monthly_mtok", models.BigIntegerField(default=0, verbose_name="Tokens per month")),
                ("tokens_valid_days", models.PositiveIntegerField(blank=True, null=True)),
                ("tokens_per_hour_mtok", models.BigIntegerField(blank=True, null=True, verbose_name="Tokens per hour")),
                ("requests_per_second", models.DecimalField(blank=True, decimal_places=3, max_digits=9, null=True)),
                ("burst", models.PositiveIntegerField(blank=True, null=True)),
                ("concurrency", models.PositiveIntegerField(blank=True, null=True, verbose_name="calls at a time")),
                ("weight", models.PositiveIntegerField(default=1, verbose_name="weight")),
                ("sub_token_days", models.PositiveIntegerField(default=365, verbose_name="longest life of a sub-token in days")),
                ("position", models.PositiveIntegerField(unique=True, verbose_name="position")),
                ("initial", models.BooleanField(default=False)),
                ("listed", models.BooleanField(default=True)),
                ("active", models.BooleanField(default=True, verbose_name="on sale")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("models", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None, verbose_name="models")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("initial", True)), fields=("initial",), name="plan_initial_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("monthly_mtok__gte", 0),
                            models.Q(("tokens_per_hour_mtok__isnull", True), ("tokens_per_hour_mtok__gt", 0), _connector="OR"),
                            models.Q(("requests_per_second__isnull", True), ("requests_per_second__gt", 0), _connector="OR"),
                            models.Q(("burst__isnull", True), ("burst__gt", 0), _connector="OR"),
                            models.Q(("concurrency__isnull", True), ("concurrency__gt", 0), _connector="OR"),
                            models.Q(("tokens_valid_days__isnull", True), ("tokens_valid_days__gt", 0), _connector="OR"),
                            ("weight__gt", 0),
                            ("sub_token_days__gt", 0),
                        ),
                        name="plan_numbers_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanPrice",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3)),
                ("price_minor", models.BigIntegerField()),
                ("stripe_id", models.CharField(blank=True, default="", max_length=100)),
                ("plan", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="prices", to="billing.plan")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("plan", "currency"), name="plan_price_once_per_currency"),
                    models.CheckConstraint(condition=models.Q(("price_minor__gt", 0)), name="plan_price_positive"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="plan_price_currency_known"),
                ],
            },
        ),
        migrations.CreateModel(
            name="BoostOffer",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("factor", models.DecimalField(decimal_places=2, max_digits=6)),
                ("hours", models.PositiveIntegerField(verbose_name="hours")),
                ("price_minor", models.BigIntegerField(verbose_name="price")),
                ("currency", models.CharField(choices=[("CNY", "CNY"), ("USD", "USD")], max_length=3, verbose_name="currency")),
                ("position", models.PositiveIntegerField(default=0, verbose_name="position")),
                ("active", models.BooleanField(default=True, verbose_name="on sale")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("name", "currency"), name="boost_offer_once_per_currency"),
                    models.CheckConstraint(condition=models.Q(("factor__gt", 1)), name="boost_offer_factor_raises"),
                    models.CheckConstraint(condition=models.Q(("hours__gt", 0)), name="boost_offer_hours_positive"),
                    models.CheckConstraint(condition=models.Q(("price_minor__gt", 0)), name="boost_offer_price_positive"),
                    models.CheckConstraint(condition=models.Q(("currency__in", ["CNY", "USD"])), name="boost_offer_currency_known"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("status", models.CharField(choices=[("active", "Active"), ("past_due", "Payment is overdue")], default="active", max_length=10)),
                ("anchor_at", models.DateTimeField()),
                ("period_starts_at", models.DateTimeField()),
                ("period_ends_at", models.DateTimeField()),
                ("by_staff", models.BooleanField(default=False)),
                ("currency", models.CharField(blank=True, choices=[("CNY", "CNY"), ("USD", "USD")], default="", max_length=3)),
                ("stripe_id", models.CharField(blank=True, max_length=100, null=True, unique=True)),
                ("pending_invoice_id", models.CharField(blank=True, default="", max_length=100)),
                ("pending_url", models.CharField(blank=True, default="", max_length=2000)),
                ("grace_ends_at", models.DateTimeField(blank=True, null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("next_plan", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.plan")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("pending_plan", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.plan")),
                ("plan", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.plan")),
                ("applied_no", models.BigIntegerField(default=0)),
                ("asked_no", models.BigIntegerField(default=0)),
                ("changing_until", models.DateTimeField(blank=True, null=True)),
                ("pending_session_id", models.CharField(blank=True, default="", max_length=120)),
            ],
            options={
                "indexes": [models.Index(fields=["period_ends_at"], name="subscription_by_end")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization",), name="subscription_once_per_organization"),
                    models.CheckConstraint(condition=models.Q(("status__in", ["active", "past_due"])), name="subscription_status_known"),
                    models.CheckConstraint(condition=models.Q(("period_ends_at__gt", models.F("period_starts_at"))), name="subscription_period_has_a_length"),
                    models.CheckConstraint(condition=models.Q(models.Q(("grace_ends_at__isnull", False), ("status", "past_due")), models.Q(("grace_ends_at__isnull", True), ("status", "active")), _connector="OR"), name="subscription_grace_while_overdue"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanPeriod",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("key", models.CharField(max_length=120)),
                ("reason", models.CharField(choices=[("period", "A new period"), ("upgrade", "An upgrade")], max_length=8)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("tokens_mtok", models.BigIntegerField()),
                ("grant", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.grant")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("plan", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.plan")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "key"), name="plan_period_once"),
                    models.CheckConstraint(condition=models.Q(("tokens_mtok__gte", 0)), name="plan_period_tokens_not_negative"),
                    models.CheckConstraint(condition=models.Q(("reason__in", ["period", "upgrade"])), name="plan_period_reason_known"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Boost",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=60)),
                ("factor", models.DecimalField(decimal_places=2, max_digits=6)),
                ("hours", models.PositiveIntegerField()),
                ("starts_at", models.DateTimeField(blank=True, null=True)),
                ("paid_until", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("payment", models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="boosts", to="billing.payment")),
            ],
            options={
                "indexes": [models.Index(fields=["organization", "ends_at"], name="boost_by_end")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("factor__gt", 1)), name="boost_factor_raises"),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("ends_at__isnull", True), ("paid_until__isnull", True), ("starts_at__isnull", True)), models.Q(("ends_at__gte", models.F("starts_at")), ("paid_until__gte", models.F("ends_at")), ("starts_at__isnull", False)), _connector="OR"), name="boost_times_in_order"
                    ),
                    models.UniqueConstraint(fields=("organization", "payment"), name="boost_once_per_payment"),
                ],
            },
        ),
        TenantTable("billing_subscription"),
        TenantTable("billing_planperiod", references=[("grant_id", "billing_grant")]),
        TenantTable("billing_boost", references=[("payment_id", "billing_payment")]),
        migrations.RunSQL(THE_PLATFORMS),
        migrations.RunPython(write_first_plans, migrations.RunPython.noop),
    ]
