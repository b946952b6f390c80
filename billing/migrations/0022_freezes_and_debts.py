"""Freeze what is left of a grant, and let an organization owe Tokens: neither may be spent, and a call says which."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
import tenants.identifiers
from django.db import migrations, models

from tenants.migration_operations import TenantTable

SQL = Path(__file__).parent / "sql"


def text(name: str) -> str:
    return (SQL / f"{name}.sql").read_text()


def again(function: str) -> str:
    """Return the text of a function so that it takes the place of a newer one."""
    return function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


AVAILABLE = "-- What can still be held"
OLD_AVAILABLE = again(AVAILABLE + text("paths").partition(AVAILABLE)[2])


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0021_codes'),
        ('tenants', '0014_single_sign_on'),
    ]

    operations = [
        migrations.CreateModel(
            name='Debt',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('cause', models.CharField(choices=[('refund', 'Refund'), ('dispute', 'Lost dispute')], max_length=16)),
                ('reference', models.CharField(max_length=200)),
                ('owed_mtok', models.BigIntegerField()),
                ('settled_mtok', models.BigIntegerField(default=0)),
                ('dropped_mtok', models.BigIntegerField(default=0)),
                ('voided_at', models.DateTimeField(blank=True, null=True)),
                ('outstanding', models.GeneratedField(db_persist=True, expression=models.ExpressionWrapper(models.Q(('owed_mtok__gt', django.db.models.expressions.CombinedExpression(models.F('settled_mtok'), '+', models.F('dropped_mtok')))), output_field=models.BooleanField()), output_field=models.BooleanField())),
            ],
        ),
        migrations.CreateModel(
            name='Freeze',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('reference', models.CharField(max_length=200)),
                ('thawed_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='transfer',
            name='transfer_kind_known',
        ),
        migrations.RemoveIndex(
            model_name='lot',
            name='lot_burn_order',
        ),
        migrations.AddField(
            model_name='ledgercheck',
            name='frozen_mtok',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='lot',
            name='frozen',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='transfer',
            name='kind',
            field=models.CharField(choices=[('grant', 'Grant'), ('allocation', 'Allocation'), ('reclaim', 'Reclaim'), ('move', 'Move sideways'), ('capture', 'Capture'), ('expiry', 'Expiry'), ('reversal', 'Reversal'), ('settlement', 'Debt settled')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='lot',
            index=models.Index(condition=models.Q(('frozen', False), ('spent', False)), fields=['account', 'priority', 'expires_at', 'granted_at', 'id'], name='lot_to_burn'),
        ),
        migrations.AddConstraint(
            model_name='transfer',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['grant', 'allocation', 'reclaim', 'move', 'capture', 'expiry', 'reversal', 'settlement'])), name='transfer_kind_known'),
        ),
        migrations.AddField(
            model_name='debt',
            name='grant',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='debts', to='billing.grant'),
        ),
        migrations.AddField(
            model_name='debt',
            name='organization',
            field=models.ForeignKey(db_column='org_id', db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization'),
        ),
        migrations.AddField(
            model_name='freeze',
            name='grant',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='freezes', to='billing.grant'),
        ),
        migrations.AddField(
            model_name='freeze',
            name='organization',
            field=models.ForeignKey(db_column='org_id', db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization'),
        ),
        migrations.AddIndex(
            model_name='debt',
            index=models.Index(condition=models.Q(('outstanding', True)), fields=['organization'], name='debt_outstanding'),
        ),
        migrations.AddConstraint(
            model_name='debt',
            constraint=models.UniqueConstraint(fields=('organization', 'reference'), name='debt_once_per_reference'),
        ),
        migrations.AddConstraint(
            model_name='debt',
            constraint=models.CheckConstraint(condition=models.Q(('cause__in', ['refund', 'dispute'])), name='debt_cause_known'),
        ),
        migrations.AddConstraint(
            model_name='debt',
            constraint=models.CheckConstraint(condition=models.Q(('dropped_mtok__gte', 0), ('owed_mtok__gt', 0), ('settled_mtok__gte', 0), ('owed_mtok__gte', django.db.models.expressions.CombinedExpression(models.F('settled_mtok'), '+', models.F('dropped_mtok')))), name='debt_settled_within_owed'),
        ),
        migrations.AddConstraint(
            model_name='freeze',
            constraint=models.UniqueConstraint(fields=('organization', 'grant', 'reference'), name='freeze_once_per_reference'),
        ),
        TenantTable("billing_freeze", references=[("grant_id", "billing_grant")]),
        TenantTable("billing_debt", references=[("grant_id", "billing_grant")]),
        migrations.RunSQL(text("available_frozen"), OLD_AVAILABLE),
        migrations.RunSQL(text("place_hold_debt"), again(text("place_hold_limits"))),
    ]
