"""Let a management key's former secret work until its grace is over, and keep from where a key was used and may be."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import tenants.identifiers
from django.conf import settings
from django.db import migrations, models

from tenants.migration_operations import TenantTable

ROLES = f"{settings.DATABASE_APP_ROLE}, {settings.DATABASE_PLATFORM_ROLE}"

# Both functions pass the wall, as they did and for the same reason: they answer only to whoever has the secret.
FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION tenants_management_key_by_hash(p_hash text) RETURNS SETOF tenants_managementkey
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT * FROM tenants_managementkey WHERE secret_hash = p_hash
    UNION ALL
    SELECT k.* FROM tenants_managementkey k
      JOIN tenants_retiredkeysecret r ON r.org_id = k.org_id AND r.key_id = k.id
     WHERE r.secret_hash = p_hash
$$;
CREATE FUNCTION tenants_retired_key_secret_by_hash(p_hash text) RETURNS SETOF tenants_retiredkeysecret
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM tenants_retiredkeysecret WHERE secret_hash = p_hash $$;
REVOKE ALL ON FUNCTION tenants_retired_key_secret_by_hash(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_retired_key_secret_by_hash(text) TO {ROLES};
"""
BACK = """
DROP FUNCTION tenants_retired_key_secret_by_hash(text);
CREATE OR REPLACE FUNCTION tenants_management_key_by_hash(p_hash text) RETURNS SETOF tenants_managementkey
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
    $$ SELECT * FROM tenants_managementkey WHERE secret_hash = p_hash $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0006_audit_chain'),
    ]

    operations = [
        migrations.AddField(
            model_name='managementkey',
            name='ip_allow_list',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=43), blank=True, default=list, size=None, verbose_name='IP allow-list'),
        ),
        migrations.AddField(
            model_name='managementkey',
            name='last_used_ip',
            field=models.GenericIPAddressField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name='RetiredKeySecret',
            fields=[
                ('id', models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('prefix', models.CharField(max_length=16)),
                ('secret_hash', models.CharField(max_length=64, unique=True)),
                ('ends_at', models.DateTimeField()),
                ('key', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='retired_secrets', to='tenants.managementkey')),
                ('organization', models.ForeignKey(db_column='org_id', db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.organization')),
            ],
            options={
                'abstract': False,
            },
        ),
        TenantTable("tenants_retiredkeysecret", references=[("key_id", "tenants_managementkey")]),
        migrations.RunSQL(FUNCTIONS, BACK),
    ]
