"""A developer's mails land in a folder and on a page; elsewhere the page does not exist."""

from http import HTTPStatus
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection
from django.test import Client
from pytest_django.fixtures import Settings

from portal.mail import stored_mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DEVELOPMENT = True
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    return tmp_path / "mail"


def send(subject: str, text: str = "你好 https://localhost:8000/x/", html: str = "<p>你好</p>") -> None:
    connection = get_connection("portal.mail.FolderBackend")
    message = EmailMultiAlternatives(
        subject, text, "no-reply@localhost", ["dana@boards.example"], connection=connection
    )
    message.attach_alternative(html, "text/html")
    assert message.send() == 1


def test_the_newest_mail_comes_first(client: Client, folder: Path) -> None:
    for subject in ("First", "Second"):
        send(subject)
    assert [mail.subject for mail in stored_mails()] == ["Second", "First"]
    page = client.get("/dev/mail/").content.decode()
    assert page.index("Second") < page.index("First")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_mail_is_read_with_its_links(client: Client, folder: Path) -> None:
    send("Hello", text="你好 https://localhost:8000/x/\n<script>alert(1)</script>")
    (mail,) = stored_mails()
    page = client.get(f"/dev/mail/{mail.id}/").content.decode()
    assert "你好" in page
    assert 'href="https://localhost:8000/x/"' in page
    assert "<script>alert(1)" not in page


def test_a_mail_s_own_page_runs_nothing(client: Client, folder: Path) -> None:
    send("Hello", html="<script>alert(1)</script>")
    answer = client.get(f"/dev/mail/{stored_mails()[0].id}/html/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script" not in policy


def test_an_empty_folder_says_so(client: Client, folder: Path) -> None:
    assert "No mail yet" in client.get("/dev/mail/").content.decode()


def test_elsewhere_the_pages_do_not_exist(client: Client, folder: Path, settings: Settings) -> None:
    send("Hello")
    (mail,) = stored_mails()
    settings.DEVELOPMENT = False
    for path in ("/dev/mail/", f"/dev/mail/{mail.id}/", f"/dev/mail/{mail.id}/html/"):
        assert client.get(path).status_code == HTTPStatus.NOT_FOUND
