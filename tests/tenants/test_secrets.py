"""A secret says what it opens, refuses typos, and is stored only as its hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.secrets import ALPHABET, SecretKind, hash_secret, kind_of, new_secret, shown_prefix


@pytest.mark.parametrize("kind", SecretKind)
def test_a_new_secret_is_recognised(kind: SecretKind) -> None:
    secret = new_secret(kind)
    assert secret.startswith(kind.value)
    assert len(secret) == 4 + 32 + 6
    assert kind_of(secret) is kind


def test_secrets_differ() -> None:
    assert len({new_secret(SecretKind.SUB_TOKEN) for _ in range(1000)}) == 1000


@given(st.integers(0, 41), st.sampled_from(ALPHABET))
def test_any_single_typo_is_refused(place: int, character: str) -> None:
    secret = new_secret(SecretKind.SUB_TOKEN)
    mistyped = secret[:place] + character + secret[place + 1 :]
    assert (kind_of(mistyped) is None) == (mistyped != secret)


@given(st.text(max_size=60))
def test_nonsense_is_refused(text: str) -> None:
    assert kind_of(text) is None
    assert kind_of("tsk_" + text) is None


def test_one_kind_cannot_be_passed_off_as_the_other() -> None:
    secret = new_secret(SecretKind.SUB_TOKEN)
    assert kind_of(secret.replace("tsk_", "tsm_")) is None


def test_what_is_kept_does_not_hold_the_secret() -> None:
    secret = new_secret(SecretKind.SUB_TOKEN)
    assert len(hash_secret(secret)) == 64
    assert secret not in hash_secret(secret)
    assert len(shown_prefix(secret)) == 12
