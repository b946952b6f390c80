"""Row-level security on the ledger's tables, what the database refuses by itself, and the functions that move Tokens."""

from pathlib import Path

from django.db import migrations

from tenants.migration_operations import TenantTable

SQL = Path(__file__).parent / "sql"

DROP_GUARDS = """
ALTER TABLE billing_hold DROP CONSTRAINT hold_resolves_once;
DROP TRIGGER account_hangs_below_the_wallet ON billing_account;
DROP TRIGGER account_stays_where_it_hangs ON billing_account;
DROP TRIGGER transfer_sums_to_zero ON billing_entry;
DROP FUNCTION billing_refuse_unbalanced(), billing_refuse_rehanging(), billing_refuse_malformed_account();
"""
DROP_PATHS = "DROP FUNCTION billing_account_path(uuid, uuid), billing_available(uuid, uuid, uuid[], timestamptz)"
DROP_PLACE_HOLD = "DROP FUNCTION billing_place_hold(uuid, uuid, uuid, bigint, text, uuid, timestamptz, timestamptz)"


def from_file(name: str, reverse: str) -> migrations.RunSQL:
    return migrations.RunSQL((SQL / f"{name}.sql").read_text(), reverse)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_ledger"), ("tenants", "0002_walls")]

    operations = [
        TenantTable("billing_account", references=[("parent_id", "billing_account"), ("team_id", "tenants_team")]),
        TenantTable("billing_grant", append_only=True),
        TenantTable("billing_lot", references=[("account_id", "billing_account"), ("grant_id", "billing_grant")]),
        TenantTable("billing_transfer", append_only=True),
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
        TenantTable("billing_dailyburn", references=[("account_id", "billing_account")]),
        TenantTable("billing_ledgercheck"),
        from_file("identifiers", "DROP FUNCTION tokensight_new_id()"),
        from_file("guards", DROP_GUARDS),
        from_file("paths", DROP_PATHS),
        from_file("place_hold", DROP_PLACE_HOLD),
        from_file("capture_holds", "DROP FUNCTION billing_capture_holds(jsonb, timestamptz)"),
        from_file("release_holds", "DROP FUNCTION billing_release_holds(uuid[], text, timestamptz)"),
    ]
