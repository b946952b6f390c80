from django.conf import settings
from django.db import migrations

APP = settings.DATABASE_APP_ROLE


class Migration(migrations.Migration):
    """Prices are written by staff alone: what answers the web reads them, whatever it is made to do."""

    dependencies = [("billing", "0003_sub_tokens_and_prices")]

    operations = [
        migrations.RunSQL(
            f"REVOKE INSERT, UPDATE, DELETE ON billing_pricebook FROM {APP}",
            f"GRANT INSERT ON billing_pricebook TO {APP}",
        ),
    ]
