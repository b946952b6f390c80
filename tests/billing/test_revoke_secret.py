"""`manage.py revoke_secret`: staff learn whose a found secret is, and stop it."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import SubToken
from billing.queries.credentials import credential_for_secret, forget_credentials
from billing.services.sub_token_life import rotate_secret
from tenants.actors import PLATFORM
from tenants.api.problems import Problem
from tenants.models import AuditEvent, ManagementKey, Organization
from tenants.scope import organization_scope
from tenants.secrets import SecretKind, new_secret
from tenants.services.management_keys import rotate_management_key
from tests.api_client import manager_of
from tests.factories.sub_tokens import make_sub_token

Run = Callable[..., str]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with a text on its standard input and return what it prints."""

    def call(text: str, *options: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
        out = io.StringIO()
        call_command("revoke_secret", *options, stdout=out)
        return out.getvalue()

    return call


def works(secret: str) -> bool:
    forget_credentials()
    credential = credential_for_secret(secret)
    assert credential is not None
    try:
        credential.require_live(timezone.now())
    except Problem:
        return False
    return True


def test_a_secret_is_told_whose_it_is_and_nothing_is_done(alpha: Organization, run: Run) -> None:
    sub_token, secret = make_sub_token(alpha)
    for text in (secret, secret[:8], secret[:12]):
        said = run(text)
        assert f"alpha: sub-token 'Line 1' ({sub_token.id}), {secret[:12]}…: its newest secret" in said
        assert secret not in said
    assert works(secret)


def test_the_newest_secret_revokes_its_sub_token_with_the_reason(alpha: Organization, run: Run) -> None:
    sub_token, secret = make_sub_token(alpha)
    with pytest.raises(CommandError, match="Say why"):
        run(secret, "--revoke")
    assert works(secret)
    run(secret, "--revoke", "--reason", "found on a public page", "--actor", "grace@tokensight.example")
    assert not works(secret)
    with organization_scope(alpha.id):
        event = AuditEvent.objects.get(action="sub_token.revoked")
        assert SubToken.objects.get().account.closed_at is not None
    assert (event.reason, event.actor_name, event.target_id) == (
        "found on a public page",
        "grace@tokensight.example",
        sub_token.id,
    )
    assert "nothing was done" in run(secret, "--revoke", "--reason", "again")


def test_an_older_secret_ends_alone(alpha: Organization, run: Run) -> None:
    sub_token, old = make_sub_token(alpha)
    with organization_scope(alpha.id):
        new = rotate_secret(
            sub_token_id=sub_token.id, grace=timedelta(hours=5), actor=PLATFORM, now=timezone.now()
        ).secret
    assert "an older secret that works until" in run(old)
    run(old, "--revoke", "--reason", "leaked")
    assert (works(old), works(new)) == (False, True)


def test_keys_too(alpha: Organization, run: Run) -> None:
    manager = manager_of(alpha)
    with organization_scope(alpha.id):
        key = ManagementKey.objects.get()
        _, new = rotate_management_key(key_id=key.id, actor=PLATFORM, now=timezone.now())
    assert manager.get("/v1/management_keys/current").status_code == 200
    run(manager.secret, "--revoke", "--reason", "leaked")
    assert manager.get("/v1/management_keys/current").status_code == 401
    run(new, "--revoke", "--reason", "leaked too")
    with organization_scope(alpha.id):
        assert ManagementKey.objects.get().revoked_at is not None


@pytest.mark.parametrize("text", ["", "tsk_", "tsk_abc", "x" * 42, "tsk_" + "0" * 38, "tsk_%%%%%%"])
def test_what_is_no_secret(alpha: Organization, run: Run, text: str) -> None:
    make_sub_token(alpha)
    with pytest.raises(CommandError):
        run(text)


def test_a_secret_that_nobody_has(alpha: Organization, run: Run) -> None:
    make_sub_token(alpha)
    with pytest.raises(CommandError, match="No organization"):
        run(new_secret(SecretKind.SUB_TOKEN))


def test_a_beginning_revokes_nothing(alpha: Organization, run: Run) -> None:
    _, secret = make_sub_token(alpha)
    with pytest.raises(CommandError, match="whole secret"):
        run(secret[:12], "--revoke", "--reason", "leaked")
    assert works(secret)
