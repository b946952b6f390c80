"""Mails over a real mail server that goes away and comes back: each arrives, and none twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tenants.models import MailStatus, Organization, OutboxMail
from tenants.scope import organization_scope, platform_scope
from tenants.services import outbox
from tenants.services.outbox import queue_mail, send_due_mail
from tests.concurrency.racing import race
from tests.factories.tenants import make_organization
from tests.mailing import MailServer

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PATIENCE_SECONDS = 60.0

TEMPLATES = {
    "probe.subject.txt": "About\n {{ what }}",
    "probe.html": '{% extends layout|default:"mail/layout.html" %}{% load i18n %}'
    "{% block title %}{% trans 'Language' %}{% endblock %}{% block text %}{{ what }}{% endblock %}"
    "{% block button_url %}{{ base_url }}/x/{% endblock %}",
    "probe.txt": '{% include "mail/probe.html" with layout="mail/layout.txt" %}',
}


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> MailServer:
    """A mail server that is not started yet, and the portal set to use it."""
    folder = tmp_path / "mail"
    folder.mkdir()
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    server = MailServer()
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [*settings.TEMPLATES[0]["DIRS"], tmp_path]}]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.DEFAULT_FROM_EMAIL = "Tokensight <noreply@portal.example>"
    return server


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


@pytest.fixture
def organization(committed_db: None) -> Organization:
    return make_organization("Alpha")


def queue(organization: Organization, what: str = "a & b", *, language: str = "en", kind: str = "probe") -> OutboxMail:
    with organization_scope(organization.id):
        assert queue_mail(
            organization_id=organization.id,
            to=f"{what.split()[0]}@alpha.example",
            kind=kind,
            context={"what": what},
            dedupe_key=what,
            language=language,
            now=NOW,
        )
        return OutboxMail.objects.get(dedupe_key=what)


def fresh(mail: OutboxMail) -> OutboxMail:
    with platform_scope("look"):
        return OutboxMail.objects.get(id=mail.id)


def test_a_mail_arrives_once_in_text_and_html(organization: Organization, server: MailServer, clock: Clock) -> None:
    mail = queue(organization)
    with server.running():
        assert [send_due_mail(clock=clock), send_due_mail(clock=clock)] == [1, 0]
    (message,) = server.accepted
    assert message["Subject"] == "About a & b"
    assert message["To"] == "a@alpha.example"
    assert message["Message-ID"] == f"<{mail.id}@portal.example>"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text
    assert html
    assert "a & b" in text.get_content()
    assert "http://localhost:8000/x/" in text.get_content()
    assert "a &amp; b" in html.get_content()
    found = fresh(mail)
    assert (found.status, found.sent_at, found.subject) == (MailStatus.SENT, NOW, "About a & b")
    assert found.context == {}, "what a mail said, secret links above all, is forgotten once it was sent"


def test_the_reader_s_language(organization: Organization, server: MailServer, clock: Clock) -> None:
    queue(organization, language="zh-hans")
    with server.running():
        send_due_mail(clock=clock)
    body = server.accepted[0].get_body(("html",))
    assert body
    assert 'lang="zh-Hans"' in body.get_content()
    assert "语言" in body.get_content()


def test_a_server_that_is_away_and_comes_back(organization: Organization, server: MailServer, clock: Clock) -> None:
    mails = [queue(organization, f"m{number} x") for number in range(3)]
    assert send_due_mail(clock=clock) == 0
    tried = [fresh(mail).attempts for mail in mails]
    assert tried == [1, 0, 0], "when the server is away the others are not tried in vain"
    assert "ConnectionRefusedError" in fresh(mails[0]).last_error
    with server.running():
        assert send_due_mail(clock=clock) == 2, "the first is not due again yet"
        clock.passes(seconds=9)
        assert send_due_mail(clock=clock) == 0
        clock.passes(seconds=1)
        assert send_due_mail(clock=clock) == 1
        clock.passes(days=1)
        assert send_due_mail(clock=clock) == 0
    assert sorted(server.subjects) == ["About m0 x", "About m1 x", "About m2 x"]


def test_waits_grow_to_ten_minutes_and_end_after_three_days(
    organization: Organization, server: MailServer, clock: Clock
) -> None:
    mail = queue(organization)
    waits = []
    while fresh(mail).status == MailStatus.QUEUED:
        before = clock.now
        assert send_due_mail(clock=clock) == 0
        waits.append((fresh(mail).due_at - before).total_seconds())
        clock.now = fresh(mail).due_at
    assert waits[:8] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert set(waits[8:]) == {600}
    assert fresh(mail).status == MailStatus.FAILED
    assert timedelta(days=3) < clock.now - NOW < timedelta(days=3, minutes=30)
    with server.running():
        assert send_due_mail(clock=clock) == 0


def test_one_bad_mail_stops_no_other(organization: Organization, server: MailServer, clock: Clock) -> None:
    unwritten = queue(organization, "unwritten x", kind="no_such_template")
    gone = queue(organization, "gone x")
    good = queue(organization, "good x")
    server.refused.add(gone.recipient)
    with server.running():
        assert send_due_mail(clock=clock) == 1
    assert server.subjects == ["About good x"]
    assert [fresh(mail).status for mail in (unwritten, gone, good)] == ["queued", "failed", "sent"]
    assert "TemplateDoesNotExist" in fresh(unwritten).last_error
    assert "550" in fresh(gone).last_error


def test_a_busy_server_is_asked_again_and_a_final_no_is_believed(
    organization: Organization, server: MailServer, clock: Clock
) -> None:
    busy = queue(organization, "busy x")
    with server.running():
        server.text_answer = "451 try again later"
        assert send_due_mail(clock=clock) == 0
        assert fresh(busy).status == MailStatus.QUEUED
        server.text_answer = "554 this is spam"
        clock.passes(minutes=1)
        assert send_due_mail(clock=clock) == 0
    assert fresh(busy).status == MailStatus.FAILED
    assert server.accepted == []


def test_two_senders_at_once_send_each_mail_once(organization: Organization, server: MailServer, clock: Clock) -> None:
    for number in range(12):
        queue(organization, f"m{number} x")
    with server.running():
        sent = race([lambda: send_due_mail(clock=clock)] * 4)
    assert sum(count * times for count, times in sent.items()) == 12
    assert sorted(server.subjects) == sorted(f"About m{number} x" for number in range(12))


def test_without_the_lease_two_senders_would_double(
    organization: Organization, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the same two senders, with nothing that keeps a mail to one of them."""
    queue(organization)
    server.gate.clear()
    monkeypatch.setattr(outbox, "LEASE", timedelta(0))
    with server.running():
        senders = [threading.Thread(target=race, args=([lambda: send_due_mail(clock=clock)],)) for _ in range(2)]
        for sender in senders:
            sender.start()
            assert server.arrivals.acquire(timeout=PATIENCE_SECONDS), "both have the same mail"
        server.gate.set()
        for sender in senders:
            sender.join()
    assert server.subjects == ["About a & b"] * 2


def test_while_one_sends_another_has_nothing_to_do(
    organization: Organization, server: MailServer, clock: Clock
) -> None:
    """The same with the lease: the second sender finds nothing, however long the first takes."""
    queue(organization)
    server.gate.clear()
    with server.running(), ThreadPoolExecutor(1) as pool:
        first = pool.submit(race, [lambda: send_due_mail(clock=clock)])
        assert server.arrivals.acquire(timeout=PATIENCE_SECONDS)
        assert send_due_mail(clock=clock) == 0
        server.gate.set()
        assert first.result(PATIENCE_SECONDS) == {1: 1}
    assert server.subjects == ["About a & b"]


def test_a_sender_that_dies_leaves_its_mail_to_the_next_under_the_same_message_id(
    organization: Organization, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window that cannot be closed: accepted, but the process died before it could write so."""
    mail = queue(organization)

    def die(*_: object) -> None:
        raise SystemExit

    with server.running():
        with monkeypatch.context() as patched:
            patched.setattr(outbox, "_mark_sent", die)
            with pytest.raises(SystemExit):
                send_due_mail(clock=clock)
        assert fresh(mail).status == MailStatus.QUEUED
        clock.passes(minutes=4, seconds=59)
        assert send_due_mail(clock=clock) == 0
        clock.passes(seconds=1)
        assert send_due_mail(clock=clock) == 1
    assert {message["Message-ID"] for message in server.accepted} == {f"<{mail.id}@portal.example>"}
