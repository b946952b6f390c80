"""The stand-in for Stripe, for every test of payments."""

from tests.stripe_standin import standin, stripe_server  # noqa: F401 fixtures
