"""Models in memory: loaded once, dropped when others need the room, and only what the settings allow."""

from __future__ import annotations

import threading
import uuid

import pytest

from detection.enums import Engine as EngineKind
from detection.models import ModelVersion
from detection.services import catalogue
from tenants.scope import platform_scope
from tests.detection.conftest import METADATA
from tests.workers.locks import WatchedLock
from workers import pool
from workers.engines.base import EngineError
from workers.engines.null import NullEngine
from workers.engines.onnx import OnnxEngine
from workers.pool import LoadedModel, ModelPool


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Make every model take 40 bytes, and return what was loaded."""
    loaded: list[uuid.UUID] = []

    def load(version_id: uuid.UUID, img_size: int) -> LoadedModel:
        loaded.append(version_id)
        return LoadedModel(str(version_id), None, (), memory=40)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "load", load)
    return loaded


def test_the_least_recently_used_model_makes_room(loads: list[uuid.UUID]) -> None:
    models, (a, b, c) = ModelPool(100), (uuid.uuid4() for _ in range(3))
    for version_id in (a, b, a, c):
        models.get(version_id, 640)
    assert models.names() == [str(a), str(c)]
    models.get(b, 640)
    assert loads == [a, b, c, b]


def test_one_model_that_is_over_the_limit_alone_is_kept(loads: list[uuid.UUID]) -> None:
    models, version_id = ModelPool(10), uuid.uuid4()
    models.get(version_id, 640)
    models.get(version_id, 640)
    assert loads == [version_id]


def test_threads_that_want_the_same_model_load_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    models, version_id, others = ModelPool(100), uuid.uuid4(), 7
    lock, loads = WatchedLock(), []
    models._loading[version_id] = lock  # type: ignore[assignment]

    def load(*_: object) -> LoadedModel:
        loads.append(version_id)
        if len(loads) > 1:
            lock.wanted.release()  # nobody made this one wait
        else:
            assert all(lock.wanted.acquire(timeout=60) for _ in range(others))
        return LoadedModel("blank-n@1.0.0", None, (), memory=40)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "load", load)
    threads = [threading.Thread(target=models.get, args=(version_id, 640)) for _ in range(1 + others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [version_id]


@pytest.mark.django_db
def test_the_shipped_model_loads_and_is_warm() -> None:
    catalogue.sync()
    version = ModelVersion.objects.get(model__name="pcb-defect-n")
    loaded = ModelPool(10**9).get(version.id, version.default_img_size)
    assert isinstance(loaded.engine, OnnxEngine)
    assert loaded.classes == tuple(version.classes)
    assert loaded.memory >= version.file.stat().st_size


@pytest.mark.django_db
def test_the_null_engine_needs_leave(settings) -> None:
    with platform_scope("test data"):
        version = catalogue.register_version(METADATA, path="", engine=EngineKind.NULL)
    with pytest.raises(EngineError, match="not allowed"):
        ModelPool(100).get(version.id, 640)
    settings.ALLOW_NULL_ENGINE = True
    assert isinstance(ModelPool(100).get(version.id, 640).engine, NullEngine)


@pytest.mark.django_db
def test_a_version_that_the_catalogue_does_not_know() -> None:
    with pytest.raises(EngineError, match="no model version"):
        ModelPool(100).get(uuid.uuid4(), 640)
