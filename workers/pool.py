"""The models in memory: loaded when first asked for, warmed up, and dropped when others need the room."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

import psutil
import structlog
from django.conf import settings

from detection.enums import Engine as EngineKind
from detection.models import ModelVersion
from workers.engines.base import Engine, EngineError, ModelFile
from workers.engines.null import NullEngine

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An engine with its model in memory, taking about `memory` bytes."""

    name: str
    engine: Engine
    classes: tuple[str, ...]
    memory: int


class ModelPool:
    """One engine per model version, at most `memory_limit` bytes of them. Safe to use from several threads."""

    def __init__(self, memory_limit: int) -> None:
        self._limit = memory_limit
        self._models: OrderedDict[uuid.UUID, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[uuid.UUID, threading.Lock] = {}

    def get(self, version_id: uuid.UUID, img_size: int) -> LoadedModel:
        """Return a model version, loading it first if need be and warming it up at `img_size` px.

        Several threads may load different models at once; one model is loaded once. Raises EngineError.
        """
        if found := self._find(version_id):
            return found
        with self._lock:
            loading = self._loading.setdefault(version_id, threading.Lock())
        with loading:
            if found := self._find(version_id):
                return found
            loaded = load(version_id, img_size)
            with self._lock:
                self._models[version_id] = loaded
                self._drop_least_used()
            return loaded

    def names(self) -> list[str]:
        """Return the models in memory as `name@version`, the least recently used first."""
        with self._lock:
            return [model.name for model in self._models.values()]

    def _find(self, version_id: uuid.UUID) -> LoadedModel | None:
        with self._lock:
            if found := self._models.get(version_id):
                self._models.move_to_end(version_id)
            return found

    def _drop_least_used(self) -> None:
        # A batch that still runs on a dropped model keeps it alive until it is done.
        while len(self._models) > 1 and sum(model.memory for model in self._models.values()) > self._limit:
            _, dropped = self._models.popitem(last=False)
            log.info("model_dropped", model=dropped.name)


def load(version_id: uuid.UUID, img_size: int) -> LoadedModel:
    """Load a model version from the catalogue into an engine of its own. Raises EngineError."""
    version = ModelVersion.objects.select_related("model").filter(id=version_id).first()
    if version is None:
        raise EngineError(f"The catalogue has no model version {version_id}.")
    name = f"{version.model.name}@{version.version}"
    process, started = psutil.Process(), time.perf_counter()
    before = process.memory_info().rss
    engine = build(version)
    engine.warm_up(img_size)
    size = engine.model.path.stat().st_size if engine.model.path.is_file() else 0
    memory = max(process.memory_info().rss - before, size)
    log.info("model_loaded", model=name, seconds=round(time.perf_counter() - started, 2), megabytes=memory // 10**6)
    return LoadedModel(name, engine, tuple(version.classes), memory)


def build(version: ModelVersion) -> Engine:
    """Return an engine of the version's kind with its file loaded. Raises EngineError."""
    model = ModelFile(
        path=version.file,
        sha256=version.sha256,
        class_count=len(version.classes),
        end_to_end=version.end_to_end,
        stride=version.stride,
        default_img_size=version.default_img_size,
    )
    match version.engine:
        case EngineKind.ONNX:
            from workers.engines.onnx import OnnxEngine

            return OnnxEngine(model, threads=settings.INFERENCE_THREADS)
        case EngineKind.TORCH:
            try:
                from workers.engines.torch import TorchEngine
            except ImportError as error:
                raise EngineError(
                    f"{version.file} needs torch: install the extra, pip install tokensight[torch]"
                ) from error
            return TorchEngine(model, threads=settings.INFERENCE_THREADS, half=settings.INFERENCE_HALF)
        case EngineKind.NULL if settings.ALLOW_NULL_ENGINE:
            return NullEngine(model, seconds=settings.NULL_ENGINE_SECONDS)
    raise EngineError(f"The engine {version.engine!r} is not allowed here.")
