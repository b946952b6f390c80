"""Secrets that work on for a while after their rotation, suspension, tags, and reminders before the end."""

import django.db.models.deletion
import django.utils.timezone
import tenants.identifiers
from django.conf import settings
from django.db import migrations, models

from tenants.migration_operations import TenantTable

ROLES = f"{settings.DATABASE_APP_ROLE}, {settings.DATABASE_PLATFORM_ROLE}"

# Both functions pass the wall, as they did and for the same reason: they answer only to whoever has the secret.
FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION billing_sub_token_by_hash(p_hash text) RETURNS SETOF billing_subtoken
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM billing_subtoken WHERE secret_hash = p_hash
    UNION ALL
    SELECT s.* FROM billing_subtoken s
      JOIN billing_retiredsecret r ON r.org_id = s.org_id AND r.sub_token_id = s.id
     WHERE r.secret_hash = p_hash
$$;
CREATE FUNCTION billing_retired_secret_by_hash(p_hash text) RETURNS SETOF billing_retiredsecret
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM billing_retiredsecret WHERE secret_hash = p_hash $$;
REVOKE ALL ON FUNCTION billing_retired_secret_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION billing_retired_secret_by_hash(text) TO {ROLES};
"""
BACK = """
DROP FUNCTION billing_retired_secret_by_hash(text);
CREATE OR REPLACE FUNCTION billing_sub_token_by_hash(p_hash text) RETURNS SETOF billing_subtoken
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM billing_subtoken WHERE secret_hash = p_hash $$;
"""

# As billing.services.reminders.next_reminder would have written it; what is already late is not reminded of any more.
SCHEDULE = """
UPDATE billing_subtoken SET next_reminder_at = CASE
    WHEN expires_at - interval '7 days' > now() THEN expires_at - interval '7 days'
    WHEN expires_at - interval '1 day' > now() THEN expires_at - interval '1 day' END
WHERE revoked_at IS NULL
"""


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0006_kept_plans'),
        ('tenants', '0007_key_rotation'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetiredSecret',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('prefix', models.CharField(max_length=16)),
                ('secret_hash', models.CharField(max_length=64, unique=True)),
                ('ends_at', models.DateTimeField()),
                ('organization', models.ForeignKey(db_column='org_id', db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
                ('sub_token', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='retired_secrets', to='billing.subtoken')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='subtoken',
            name='next_reminder_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='subtoken',
            name='suspended_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='subtoken',
            name='tags',
            field=models.JSONField(blank=True, default=dict, verbose_name='tags'),
        ),
        migrations.AddIndex(
            model_name='subtoken',
            index=models.Index(condition=models.Q(('next_reminder_at__isnull', False)), fields=['next_reminder_at'], name='sub_token_reminders'),
        ),
        TenantTable("billing_retiredsecret", references=[("sub_token_id", "billing_subtoken")]),
        migrations.RunSQL(FUNCTIONS, BACK),
        migrations.RunSQL(SCHEDULE, migrations.RunSQL.noop),
    ]
