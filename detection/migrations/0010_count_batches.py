"""Count a batch's usage once at its end: counting by a trigger on every statement doubled what settling costs."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent / "sql" / "settle_counted.sql"


class Migration(migrations.Migration):
    dependencies = [("detection", "0009_partitions")]

    operations = [migrations.RunSQL(SQL.read_text())]
