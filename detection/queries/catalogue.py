"""The catalogue as calls need it: all of it in this process's memory, read again after a few seconds."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from functools import cached_property

from detection.enums import Channel
from detection.models import Model, ModelVersion

FRESH_SECONDS = 5.0


@dataclass(frozen=True)
class CatalogueVersion:
    """A version of a model that is or was installed."""

    id: uuid.UUID
    version: str
    channel: str
    engine: str
    classes: tuple[str, ...]
    default_img_size: int
    stride: int
    installed: bool

    @cached_property
    def class_ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}


@dataclass(frozen=True)
class CatalogueModel:
    """A model that callers can name. `versions` are in the order they came."""

    name: str
    family: str
    letter: str
    task: str
    title: str
    description: str
    versions: tuple[CatalogueVersion, ...]

    @cached_property
    def current(self) -> CatalogueVersion | None:
        """The version that a call gets which names none: the newest installed one of the stable channel."""
        return next((v for v in reversed(self.versions) if v.installed and v.channel == Channel.STABLE), None)

    def version(self, name: str) -> CatalogueVersion | None:
        return next((v for v in self.versions if v.version == name), None)


@dataclass(frozen=True)
class Catalogue:
    models: dict[str, CatalogueModel]
    versions: dict[uuid.UUID, tuple[CatalogueModel, CatalogueVersion]]


_lock = threading.Lock()
_held: tuple[float, Catalogue] | None = None


def catalogue() -> Catalogue:
    """Return the catalogue, at most FRESH_SECONDS old."""
    global _held
    held = _held
    if held is not None and time.monotonic() - held[0] < FRESH_SECONDS:
        return held[1]
    with _lock:
        if _held is None or _held is held:
            _held = (time.monotonic(), _read())
        return _held[1]


def forget() -> None:
    """Make the next call read the catalogue again."""
    global _held
    _held = None


def names_of(version_id: uuid.UUID) -> tuple[str, str]:
    """Return the model's name and the version's, of a version that a job was run with."""
    known = catalogue().versions.get(version_id)
    if known is None:
        forget()
        known = catalogue().versions[version_id]
    return known[0].name, known[1].version


def _read() -> Catalogue:
    versions: dict[uuid.UUID, list[CatalogueVersion]] = {}
    for row in ModelVersion.objects.order_by("created_at", "id"):
        versions.setdefault(row.model_id, []).append(
            CatalogueVersion(
                id=row.id,
                version=row.version,
                channel=row.channel,
                engine=row.engine,
                classes=tuple(row.classes),
                default_img_size=row.default_img_size,
                stride=row.stride,
                installed=row.installed,
            )
        )
    models = [
        CatalogueModel(
            name=row.name,
            family=row.family,
            letter=row.letter,
            task=row.task,
            title=row.title,
            description=row.description,
            versions=tuple(versions.get(row.id, ())),
        )
        for row in Model.objects.order_by("family", "created_at", "name")
    ]
    return Catalogue(
        models={model.name: model for model in models},
        versions={version.id: (model, version) for model in models for version in model.versions},
    )
