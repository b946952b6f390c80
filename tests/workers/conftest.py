"""A worker with an engine that does as the test says, a model version for it and a sub-token that pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from billing.models import SubToken
from detection.enums import Engine as EngineKind
from detection.models import ModelVersion
from detection.queries import catalogue as reading
from detection.services import catalogue
from tenants.scope import platform_scope
from tests.detection.conftest import METADATA
from tests.factories.jobs import make_spender
from workers.engines.base import RawDetections
from workers.engines.null import NullEngine
from workers.machine import Machine
from workers.pool import LoadedModel


class Scripted(NullEngine):
    """Finds one box in every image, and fails on batches with a picture of the width that it cannot bear."""

    unbearable = 0

    _seconds = 0.0

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, images: Sequence[np.ndarray], img_size: int, *, confidence: float) -> list[RawDetections]:
        self.batches.append(len(images))
        if any(image.shape[1] == self.unbearable for image in images):
            raise ValueError("cannot bear this picture")
        return super().infer(images, img_size, confidence=confidence)


@pytest.fixture
def version(db: None) -> ModelVersion:
    reading.forget()
    catalogue.sync()
    with platform_scope("test data"):
        return catalogue.register_version(METADATA, path="", engine=EngineKind.NULL)


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
def machine(engine: Scripted, version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine()
    monkeypatch.setattr(machine.models, "get", lambda *_: LoadedModel("blank-n@1.0.0", engine, ("open", "short"), 0))
    yield machine
    machine.stop()


@pytest.fixture
def sub_token(db: None) -> SubToken:
    return make_spender()
