"""A catalogue to call, without a model file: the null engine's version answers like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from detection.enums import Engine
from detection.models import ModelVersion
from detection.queries import catalogue as reading
from detection.services import catalogue
from tenants.scope import platform_scope

METADATA = {
    "name": "blank-n", "version": "1.0.0", "task": "detect", "letter": "n", "family": "Blank", "sha256": "",
    "classes": ["open", "short"], "default_img_size": 640, "stride": 32, "end_to_end": True, "metrics": {},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_catalogue() -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


@pytest.fixture
def version(db: None) -> ModelVersion:
    """Return the installed version of the model `blank-n`."""
    catalogue.sync()
    with platform_scope("test data"):
        return catalogue.register_version(METADATA, path="", engine=Engine.NULL)
