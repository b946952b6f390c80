"""Find the transfers of one account among millions: its entries lie in the order of their transfers.

Beside traffic: a ledger of millions is not locked meanwhile. Interrupted, it is run again after dropping the new index.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0022_freezes_and_debts"), ("tenants", "0014_single_sign_on")]

    operations = [
        AddIndexConcurrently("entry", models.Index(fields=["account", "transfer"], name="entry_by_account_and_transfer")),
        RemoveIndexConcurrently("entry", "entry_by_account"),
    ]
