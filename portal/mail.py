"""A developer's mail: every message becomes a file in the data folder, for `/dev/mail/` to show."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage as DjangoEmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tenants.identifiers import new_id


class FolderBackend(BaseEmailBackend):
    """Writes each message to `$TOKENSIGHT_DATA_DIR/mail/<uuid7>.eml`, readable by the owner only."""

    def send_messages(self, email_messages: Sequence[DjangoEmailMessage]) -> int:
        """Write the messages and return how many."""
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            unfinished = folder / f"{new_id()}.tmp"
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(message.message().as_bytes())
            unfinished.rename(unfinished.with_suffix(".eml"))
        return len(email_messages)


@dataclass(frozen=True)
class StoredMail:
    """A message as it was sent. `id` is a UUIDv7."""

    id: UUID
    sent_at: datetime | None
    sender: str
    to: str
    subject: str
    text: str
    html: str


def stored_mails() -> list[StoredMail]:
    """Return every message in the folder, newest first."""
    return [_parse(path) for path in sorted(_folder().glob("*.eml"), reverse=True)]


def stored_mail(mail_id: UUID) -> StoredMail | None:
    """Return one message, or None."""
    path = _folder() / f"{mail_id}.eml"
    return _parse(path) if path.is_file() else None


def _folder() -> Path:
    return Path(settings.EMAIL_FILE_PATH)


def _parse(path: Path) -> StoredMail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    date = message["Date"]
    return StoredMail(
        id=UUID(path.stem),
        sent_at=_aware(date.datetime) if date else None,
        sender=str(message["From"]),
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _aware(moment: datetime) -> datetime:
    # A Date header of "-0000" is in UTC but says that it does not know where it was written, and is parsed as naive.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return part.get_content() if part else ""
