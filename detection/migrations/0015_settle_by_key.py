"""Find the jobs of a batch by their ids, not in the index of all leases."""

from pathlib import Path

from django.conf import settings
from django.db import migrations

SQL = Path(__file__).parent / "sql"


def text(name: str) -> str:
    return (SQL / f"{name}.sql").read_text().replace("@PLATFORM@", settings.DATABASE_PLATFORM_ROLE)


class Migration(migrations.Migration):
    dependencies = [("detection", "0014_quicker_batches")]

    operations = [migrations.RunSQL(text("settle_by_key"), text("settle_unlocked"))]
