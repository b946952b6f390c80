"""Mails that are sent exactly once.

`queue_mail` writes a row in the transaction of what the mail tells of; `send_due_mail` sends what is due, later and
elsewhere, and tries again while the mail server is away. Whoever sends a mail has it for a while alone (a lease), so
two senders never have the same one.

One window cannot be closed from this side: the mail server has accepted the mail and the process dies before it has
written so. The lease runs out, and the mail is sent again. Its Message-ID is made from the row's id and so the same the
second time, by which mail servers and programs recognise a copy.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import parseaddr
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPSenderRefused
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, close_old_connections, connection, transaction
from django.template import Context, Engine
from django.template.loader import get_template
from django.utils import timezone, translation
from kombu.exceptions import OperationalError as BrokerAway

from tenants.identifiers import new_id
from tenants.languages import language_of
from tenants.models import MailStatus, OutboxMail, User
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

TASK = "tenants.send_mail"
# Longer than a mail server can keep one mail waiting: every step of the exchange ends after EMAIL_TIMEOUT.
LEASE = timedelta(minutes=5)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(minutes=10)
GIVEN_UP_AFTER = timedelta(days=3)
KEPT = timedelta(days=90)
# A sender that has done this much lets its process do something else.
MAILS_AT_ONCE = 200
# SMTP's answers from here on are final (RFC 5321, 4.2.1).
PERMANENT = 500

# Without naming the constraint: the restricted role need not see the row that is there already.
INSERT = """
INSERT INTO tenants_outboxmail (id, org_id, created_at, dedupe_key, kind, recipient, language, context, subject, status,
    due_at, attempts, last_error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '', 'queued', %s, 0, '') ON CONFLICT DO NOTHING
"""


def queue_mail(
    *,
    organization_id: uuid.UUID | None,
    to: str,
    kind: str,
    context: Mapping[str, Any],
    dedupe_key: str,
    language: str,
    now: datetime,
    due_at: datetime | None = None,
) -> bool:
    """Owe somebody a mail: sent if and only if the surrounding transaction commits, not before `due_at`.

    It is rendered when sent, from `templates/mail/<kind>.subject.txt`, `.txt` and `.html`, in `language` ("en" or
    "zh-hans"), with `context` (what JSON can say; times as ISO 8601) and `base_url`. Returns False, and does nothing,
    when the organization's `dedupe_key` was queued in the last 90 days, for whomever: put the recipient into the key
    where several get the mail (`queue_mail_to` does). Needs the organization's scope; without an organization the row
    is the platform's.
    """
    said = DjangoJSONEncoder(ensure_ascii=False).encode(dict(context))
    values = [new_id(), organization_id, now, dedupe_key, kind, to, language, said, due_at or now]
    with transaction.atomic():
        if organization_id is None:
            with platform_scope("queue a mail to a person"):
                queued = _insert(values)
        else:
            queued = _insert(values)
        if queued:
            transaction.on_commit(_poke)
    return queued


def queue_mail_to(
    people: Iterable[User],
    *,
    organization_id: uuid.UUID,
    kind: str,
    context: Mapping[str, Any],
    dedupe_key: str,
    now: datetime,
    due_at: datetime | None = None,
) -> int:
    """Owe each of these persons the mail, once, in their own language; return how many were not queued before."""
    return sum(
        queue_mail(
            organization_id=organization_id,
            to=person.email,
            kind=kind,
            context=context,
            dedupe_key=f"{dedupe_key}:{person.id}",
            language=language_of(person),
            now=now,
            due_at=due_at,
        )
        for person in people
    )


def send_due_mail(*, clock: Callable[[], datetime] = timezone.now, stop: Callable[[], bool] = lambda: False) -> int:
    """Send what is due, oldest first, until nothing is or `stop()`; return how many were sent.

    Through the platform's door; call it outside of a transaction. Any number of senders may run at once. A mail that
    fails is due again after 10 s, 20 s, 40 s ... 10 min, for 3 days; when the server itself is away the run ends.
    """
    sent, server = 0, get_connection()
    try:
        while sent < MAILS_AT_ONCE and not stop() and (mail := _claim(clock())) is not None:
            try:
                subject = _send(mail, server)
            except Exception as error:
                server.close()
                _put_off(mail, error, clock())
                if _is_away(error):
                    break
            else:
                _mark_sent(mail, subject, clock)
                sent += 1
    finally:
        server.close()
    return sent


def is_mail_due(now: datetime) -> bool:
    """Return whether a mail could be sent now. Through the platform's door."""
    with platform_scope("look for mails"):
        return _due(now).exists()


def try_again(*, mail_id: uuid.UUID, now: datetime) -> bool:
    """Make a mail that waits or was given up due now; return whether there was one. Through the platform's door."""
    with platform_scope("try a mail again"):
        unsent = OutboxMail.objects.filter(id=mail_id).exclude(status=MailStatus.SENT)
        # Its time to be tried begins anew, but who has it in hand keeps it.
        found = unsent.update(status=MailStatus.QUEUED, due_at=now, attempts=0) == 1
        if found:
            transaction.on_commit(_poke)
    return found


def forget_old_mail(now: datetime) -> int:
    """Delete mails older than 90 days, and return how many. Through the platform's door."""
    with platform_scope("forget old mails", patient=True):
        return OutboxMail.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _insert(values: list[Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(INSERT, values)
        return cursor.rowcount == 1


def _poke() -> None:
    try:
        current_app.send_task(TASK, queue="maintenance", ignore_result=True, retry=False, expires=60)
    except BrokerAway:
        log.warning("mail_waits_for_the_clock")


def _due(now: datetime) -> Any:
    free = OutboxMail.objects.exclude(claimed_until__gt=now)
    return free.filter(status=MailStatus.QUEUED, due_at__lte=now).order_by("due_at", "id")


def _claim(now: datetime) -> OutboxMail | None:
    """Have one due mail alone until its lease ends; that it is tried is written before it is."""
    with platform_scope("send a mail"):
        mail: OutboxMail | None = _due(now).select_for_update(skip_locked=True).first()
        if mail is not None:
            mail.attempts += 1
            mail.claimed_until = now + LEASE
            mail.save(update_fields=["attempts", "claimed_until"])
    return mail


def _send(mail: OutboxMail, server: Any) -> str:
    """Render and send a mail and return its subject; an SMTP, socket or template error when that fails."""
    context = {**mail.context, "base_url": settings.BASE_URL}
    name = f"mail/{mail.kind}"
    with translation.override(mail.language):
        subject = " ".join(_plain(f"{name}.subject.txt", context).split())
        text = _plain(f"{name}.txt", context)
        message = EmailMultiAlternatives(subject, text, to=[mail.recipient], connection=server)
        message.attach_alternative(get_template(f"{name}.html").render(context), "text/html")
    message.extra_headers = {"Message-ID": _message_id(mail), "Auto-Submitted": "auto-generated"}
    server.open()
    message.send()
    return subject


def _plain(template: str, context: dict[str, Any]) -> str:
    """Render a text, in which nothing means HTML."""
    return Engine.get_default().get_template(template).render(Context(context, autoescape=False))


def _message_id(mail: OutboxMail) -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{mail.id}@{domain or 'localhost'}>"


def _mark_sent(mail: OutboxMail, subject: str, clock: Callable[[], datetime]) -> None:
    """Write that the mail is sent. A database that is away gets a few seconds: else the mail would go out twice."""
    for patience in (0.5, 1, 2, 4, None):
        try:
            with platform_scope("a mail was sent"):
                OutboxMail.objects.filter(id=mail.id).update(
                    status=MailStatus.SENT, sent_at=clock(), subject=subject[:250], context={}, claimed_until=None
                )
            return
        except (OperationalError, InterfaceError):
            if patience is None:
                raise
            close_old_connections()
            time.sleep(patience)


def _put_off(mail: OutboxMail, error: Exception, now: datetime) -> None:
    over = now - mail.created_at > GIVEN_UP_AFTER or _is_final(error)
    wait = min(FIRST_WAIT * 2 ** min(mail.attempts - 1, 20), LONGEST_WAIT)
    log.warning("mail_failed", mail=str(mail.id), kind=mail.kind, attempts=mail.attempts, error=repr(error)[:200])
    with platform_scope("a mail was not sent"):
        # Unless its lease ran out and another sender has it by now.
        OutboxMail.objects.filter(id=mail.id, attempts=mail.attempts, status=MailStatus.QUEUED).update(
            status=MailStatus.FAILED if over else MailStatus.QUEUED,
            due_at=now + wait,
            claimed_until=None,
            last_error=f"{type(error).__name__}: {error}"[:1000],
        )


def _is_away(error: Exception) -> bool:
    """Return whether the server failed, not this mail: the others would fail as well."""
    return isinstance(error, OSError) and not isinstance(
        error, SMTPRecipientsRefused | SMTPSenderRefused | SMTPDataError
    )


def _is_final(error: Exception) -> bool:
    """Return whether the server said that it will never take this mail: a 5xx answer to its recipient or its text."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _ in error.recipients.values())
    return isinstance(error, SMTPDataError) and error.smtp_code >= PERMANENT
