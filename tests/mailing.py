"""A real mail server for tests, on a port of this machine, that can be away and come back."""

from __future__ import annotations

import email
import email.policy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from tenants.services.outbox import send_due_mail
from tests.ports import free_port

# A gate that nobody opens, and a server that does not start, fail a test instead of stopping it.
PATIENCE_SECONDS = 120


def sent_mails() -> list[EmailMultiAlternatives]:
    """Send what is due, and return all mails that were sent in this test, oldest first."""
    send_due_mail()
    return cast(list[EmailMultiAlternatives], mail.outbox)


class MailServer:
    """Keeps what it accepted. `refused` are addresses that it will never take mail for; `gate`, when it is cleared,
    keeps every mail waiting between its text and the answer."""

    def __init__(self) -> None:
        self.port = free_port()
        self.accepted: list[EmailMessage] = []
        self.refused: set[str] = set()
        self.text_answer = "250 OK"
        self.arrivals = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.arrivals.release()
        await server.loop.run_in_executor(None, self.gate.wait, PATIENCE_SECONDS)
        message = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        if self.text_answer.startswith("2"):
            self.accepted.append(message)
        return self.text_answer

    @contextmanager
    def running(self) -> Iterator[MailServer]:
        """Listen; afterwards connections are refused again."""
        controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=PATIENCE_SECONDS)
        controller.start()
        try:
            yield self
        finally:
            self.gate.set()
            controller.stop()

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.accepted]
