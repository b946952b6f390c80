"""People, organizations, who belongs to which, and their teams."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.identifiers


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("tenants", "0001_organizations"),
        ("tenants", "0009_second_factor"),
        ("tenants", "0010_frozen_organizations"),
        ("tenants", "0011_timeouts"),
        ("tenants", "0012_ownership_and_closing"),
        ("tenants", "0013_when_uncounted"),
        ("tenants", "0014_single_sign_on"),
    ]

    dependencies = [("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("slug", models.SlugField(max_length=60, unique=True, verbose_name="short name")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("requires_second_factor", models.BooleanField(default=False)),
                ("frozen_at", models.DateTimeField(editable=False, null=True)),
                ("deleted_at", models.DateTimeField(editable=False, null=True)),
                ("deletion_due_at", models.DateTimeField(editable=False, null=True)),
                ("deletion_requested_at", models.DateTimeField(editable=False, null=True)),
                ("when_uncounted", models.CharField(choices=[("pass", "Let calls pass, within the limits of Tokens"), ("refuse", "Refuse calls")], db_default="pass", default="pass", max_length=8, verbose_name="while requests cannot be counted")),
                ("requires_single_sign_on", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("is_superuser", models.BooleanField(default=False, help_text="Designates that this user has all permissions without explicitly assigning them.", verbose_name="superuser status")),
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="email")),
                ("name", models.CharField(blank=True, max_length=150, verbose_name="name")),
                ("is_active", models.BooleanField(default=True)),
                ("is_staff", models.BooleanField(default=False)),
                ("date_joined", models.DateTimeField(default=django.utils.timezone.now)),
                ("language", models.CharField(blank=True, max_length=12, verbose_name="language")),
                ("trial_taken_at", models.DateTimeField(editable=False, null=True)),
                ("groups", models.ManyToManyField(blank=True, help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.", related_name="user_set", related_query_name="user", to="auth.group", verbose_name="groups")),
                ("user_permissions", models.ManyToManyField(blank=True, help_text="Specific permissions for this user.", related_name="user_set", related_query_name="user", to="auth.permission", verbose_name="user permissions")),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("role", models.CharField(choices=[("owner", "Owner"), ("admin", "Admin"), ("billing", "Billing"), ("developer", "Developer"), ("viewer", "Viewer")], max_length=16, verbose_name="role")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to=settings.AUTH_USER_MODEL)),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "user"), name="membership_once_per_user"), models.CheckConstraint(condition=models.Q(("role__in", ["owner", "admin", "billing", "developer", "viewer"])), name="membership_role_known")],
            },
        ),
        migrations.CreateModel(
            name="Team",
            fields=[
                ("id", models.UUIDField(default=tenants.identifiers.new_id, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("name", models.CharField(max_length=120, verbose_name="name")),
                ("organization", models.ForeignKey(db_column="org_id", db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.organization")),
                ("parent", models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="children", to="tenants.team")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "name"), name="team_name_once")],
            },
        ),
    ]
