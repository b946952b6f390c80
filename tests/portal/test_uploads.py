"""Nobody fills the disk through a form."""

from __future__ import annotations

import pytest
from django.core.files import uploadhandler
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from detection.api.bodies import ENVELOPE_BYTES

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("length", "status"), [(1000, 403), (2000, 400)])
def test_a_body_over_the_limit_is_not_stored(
    length: int, status: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_IMAGE_BYTES = 1000
    stored: list[int] = []
    keep = uploadhandler.MemoryFileUploadHandler.file_complete
    monkeypatch.setattr(
        uploadhandler.MemoryFileUploadHandler,
        "file_complete",
        lambda handler, size: stored.append(size) or keep(handler, size),
    )
    stranger = Client(enforce_csrf_checks=True)
    stranger.cookies["csrftoken"] = "a" * 32
    picture = SimpleUploadedFile("a.png", b"x" * (ENVELOPE_BYTES + length - 1000))
    assert stranger.post("/accounts/login/", {"file": picture}).status_code == status
    assert bool(stored) == (status == 403)
