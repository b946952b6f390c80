"""How people come to an organization and hand it over: invitations, offers, single sign-on."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers
from tenants.migration_operations import SqlFile, TenantTable


class Migration(migrations.Migration):
    replaces = [
        ("tenants", "0008_invitations"),
    ]

    dependencies = [("tenants", "0004_keys_and_mail")]

    operations = [
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("email", models.EmailField(max_length=254, verbose_name="email")),
                ("role", models.CharField(choices=[("owner", "Owner"), ("admin", "Admin"), ("billing", "Billing"), ("developer", "Developer"), ("viewer", "Viewer")], max_length=16, verbose_name="role")),
                ("secret_hash", models.CharField(max_length=64, unique=True)),
                ("invited_by_name", models.CharField(max_length=254)),
                ("expires_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField()),
                ("sent_count", models.PositiveSmallIntegerField(default=1)),
                ("accepted_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("accepted_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("invited_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(condition=models.Q(("accepted_at", None), ("revoked_at", None)), fields=("organization", "email"), name="invitation_one_open_per_address"),
                    models.CheckConstraint(condition=models.Q(("role__in", ["admin", "billing", "developer", "viewer"])), name="invitation_role_known"),
                    models.CheckConstraint(condition=models.Q(("accepted_at", None), ("revoked_at", None), _connector="OR"), name="invitation_ends_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="OwnershipOffer",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("offered_by", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("offered_to", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(condition=models.Q(("ended_at", None)), fields=("organization",), name="ownership_one_offer_at_a_time")],
            },
        ),
        migrations.CreateModel(
            name="SingleSignOn",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("issuer", models.CharField(max_length=500, verbose_name="issuer")),
                ("client_id", models.CharField(max_length=255, verbose_name="client id")),
                ("sealed_client_secret", models.TextField()),
                ("domains", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=253), size=None, verbose_name="mail domains")),
                ("default_role", models.CharField(choices=[("owner", "Owner"), ("admin", "Admin"), ("billing", "Billing"), ("developer", "Developer"), ("viewer", "Viewer")], max_length=16, verbose_name="role")),
                ("tried_at", models.DateTimeField(null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization",), name="single_sign_on_one_per_organization"), models.CheckConstraint(condition=models.Q(("default_role__in", ["admin", "billing", "developer", "viewer"])), name="single_sign_on_role_known")],
            },
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("issuer", models.CharField(max_length=500)),
                ("subject", models.CharField(max_length=255)),
                ("last_used_at", models.DateTimeField(null=True)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "issuer", "subject"), name="identity_once_per_subject"), models.UniqueConstraint(fields=("organization", "issuer", "user"), name="identity_once_per_user")],
            },
        ),
        TenantTable("tenants_invitation"),
        TenantTable("tenants_ownershipoffer"),
        TenantTable("tenants_singlesignon"),
        TenantTable("tenants_identity"),
        SqlFile(__file__, "invitations"),
    ]
