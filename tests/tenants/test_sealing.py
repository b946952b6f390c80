"""Sealed secrets open with this installation's key, or a former one, and with no other."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from tenants.sealing import SealBroken, seal, unseal


def test_a_seal_opens_and_hides() -> None:
    sealed = seal("tsw_secret")
    assert unseal(sealed) == "tsw_secret"
    assert "secret" not in sealed
    assert seal("tsw_secret") != sealed, "two seals of the same do not look alike"


def test_a_former_key_still_opens_and_a_foreign_one_does_not(settings: Settings) -> None:
    settings.SECRET_KEY = "old"
    sealed = seal("tsw_secret")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    assert unseal(sealed) == "tsw_secret"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(SealBroken):
        unseal(sealed)


def test_what_was_tampered_with_does_not_open() -> None:
    sealed = seal("tsw_secret")
    other = "B" if sealed[-12] == "A" else "A"
    with pytest.raises(SealBroken):
        unseal(sealed[:-12] + other + sealed[-11:])
