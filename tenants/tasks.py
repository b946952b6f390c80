"""The scheduler's part in this room, by the names that it is asked for: thin doors to what does the work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from tenants.beside import Beside, stopping
from tenants.services import outbox

_post = Beside("mail", lambda: outbox.send_due_mail(stop=stopping.is_set))


@shared_task(name="tenants.send_mail")
def send_mail() -> None:
    """Every few seconds, and when a mail was queued: send what is due, beside the scheduler."""
    if outbox.is_mail_due(timezone.now()):
        _post.start()


@shared_task(name="tenants.forget_mail")
def forget_mail() -> None:
    """Every night: delete the mails of long ago."""
    outbox.forget_old_mail(timezone.now())
