"""Weeks of usage that are over, summed up: a page about many sub-tokens reads a third of the rows."""

import django.db.models.deletion
import django.utils.timezone
import tenants.identifiers
from django.db import migrations, models

from tenants.migration_operations import TenantTable

# Read many rows at a time: as a subquery the scope is looked up once for a query, and not for each row.
SCOPE_ONCE = """
ALTER POLICY tenant ON detection_weeklyusage
    USING (org_id = (SELECT tokensight_org_id())) WITH CHECK (org_id = (SELECT tokensight_org_id()))
"""
# What detection.services.weeks does from now on.
WEEKS_BEFORE = """
INSERT INTO detection_weeklyusage (
    id, org_id, created_at, week, sub_token_id, model_version_id, calls, succeeded, failed, cached, charged_mtok)
SELECT tokensight_new_id(), org_id, now(), date_trunc('week', day::timestamp)::date, sub_token_id, model_version_id,
       sum(calls), sum(succeeded), sum(failed), sum(cached), sum(charged_mtok)
FROM detection_dailyusage
WHERE day < date_trunc('week', (now() - interval '1 day') AT TIME ZONE 'UTC')
GROUP BY 2, 4, 5, 6
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0022_freezes_and_debts'),
        ('detection', '0012_organization_usage'),
        ('tenants', '0014_single_sign_on'),
    ]

    operations = [
        migrations.CreateModel(
            name='WeeklyUsage',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('calls', models.BigIntegerField(default=0)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('cached', models.BigIntegerField(default=0)),
                ('charged_mtok', models.BigIntegerField(default=0)),
                ('week', models.DateField()),
                ('model_version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='detection.modelversion')),
                ('organization', models.ForeignKey(db_column='org_id', db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
                ('sub_token', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.subtoken')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'week', 'sub_token', 'model_version'), name='weekly_usage_once')],
            },
        ),
        TenantTable("detection_weeklyusage", references=[("sub_token_id", "billing_subtoken")]),
        migrations.RunSQL(SCOPE_ONCE, migrations.RunSQL.noop),
        migrations.RunSQL(WEEKS_BEFORE, migrations.RunSQL.noop),
    ]
