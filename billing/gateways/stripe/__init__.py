"""Everything that is said to Stripe and heard from it, a module for each subject; nothing else imports the library.

Functions take keywords and return small frozen dataclasses of our own; every POST has an idempotency key that is made
from the id of the row that it is for, so that asking again never does twice. What goes wrong is raised as one of the
errors of `billing.errors`, without keys, bodies or what a card holder typed. Call them outside of any transaction: an
answer may take seconds.
"""

from billing.gateways.stripe.client import asking, payments_enabled

__all__ = ["asking", "payments_enabled"]
