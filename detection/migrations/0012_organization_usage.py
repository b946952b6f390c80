"""Sums of usage for a whole organization, so that its pages do not read the sums of a thousand sub-tokens."""

from pathlib import Path

import django.db.models.deletion
import django.utils.timezone
import tenants.identifiers
from django.db import migrations, models

from tenants.migration_operations import TenantTable

SQL = Path(__file__).parent / "sql"
TABLES = ("detection_organizationday", "detection_organizationhour", "detection_organizationtag")

# These rows change with every batch: leave room for the new version on the same page. And they are read many at a time:
# as a subquery the scope is looked up once for a query.
ROOM = "".join(
    f"ALTER TABLE {table} SET (fillfactor = 30);"
    f"ALTER POLICY tenant ON {table} USING (org_id = (SELECT tokensight_org_id()))"
    f" WITH CHECK (org_id = (SELECT tokensight_org_id()));"
    for table in TABLES
)
# Who has finished calls has this lock until it commits, and who has not waits for it and then counts in the new way: so
# no call is missed and none counted twice.
STOP = "LOCK TABLE detection_job IN SHARE ROW EXCLUSIVE MODE;"


def from_file(name: str) -> str:
    return (SQL / f"{name}.sql").read_text()


class Migration(migrations.Migration):

    dependencies = [
        ('detection', '0011_waiting'),
        ('tenants', '0014_single_sign_on'),
    ]

    operations = [
        migrations.CreateModel(
            name='OrganizationDay',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('calls', models.BigIntegerField(default=0)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('cached', models.BigIntegerField(default=0)),
                ('charged_mtok', models.BigIntegerField(default=0)),
                ('day', models.DateField()),
                ('model_version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='detection.modelversion')),
                ('organization', models.ForeignKey(db_column='org_id', db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'day', 'model_version'), name='organization_day_once')],
            },
        ),
        migrations.CreateModel(
            name='OrganizationHour',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('calls', models.BigIntegerField(default=0)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('cached', models.BigIntegerField(default=0)),
                ('charged_mtok', models.BigIntegerField(default=0)),
                ('hour', models.DateTimeField()),
                ('model_version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='detection.modelversion')),
                ('organization', models.ForeignKey(db_column='org_id', db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['hour'], name='organization_hour_by_age')],
                'constraints': [models.UniqueConstraint(fields=('organization', 'hour', 'model_version'), name='organization_hour_once')],
            },
        ),
        migrations.CreateModel(
            name='OrganizationTag',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('calls', models.BigIntegerField(default=0)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('failed', models.BigIntegerField(default=0)),
                ('cached', models.BigIntegerField(default=0)),
                ('charged_mtok', models.BigIntegerField(default=0)),
                ('day', models.DateField()),
                ('name', models.CharField(blank=True, max_length=40)),
                ('value', models.CharField(blank=True, max_length=120)),
                ('model_version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='detection.modelversion')),
                ('organization', models.ForeignKey(db_column='org_id', db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'day', 'name', 'value', 'model_version'), name='organization_tag_once')],
            },
        ),
        *(TenantTable(table) for table in TABLES),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(
            STOP + from_file("backfill_organization") + from_file("count_usage_organization"),
            from_file("count_usage_partitioned"),
        ),
    ]
