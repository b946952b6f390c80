"""Brings the table of models in line with what is shipped, listed and installed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.catalog.families import official_models
from detection.enums import Channel, Engine, Task
from detection.errors import ModelFileInvalid
from detection.models import Model, ModelVersion
from detection.models.catalogue import SHIPPED
from tenants.scope import platform_scope


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync found: names of models in the catalogue, and `name@version` of those that are installed."""

    listed: list[str]
    installed: list[str]


def sync() -> Synced:
    """Write every official and shipped model to the catalogue, and say of each version whether its file is here.

    Running it again changes nothing. Raises ModelFileInvalid if a shipped file is not the one that its metadata names.
    """
    with platform_scope("catalogue sync"):
        for listed in official_models():
            Model.objects.update_or_create(
                name=listed.name,
                defaults={
                    "family": listed.family,
                    "letter": listed.letter,
                    "title": listed.title,
                    "description": listed.description,
                    "task": Task.DETECT,
                },
            )
        for metadata_file in sorted(SHIPPED.glob("*/metadata.json")):
            _register_shipped(metadata_file)
        installed = []
        for version in ModelVersion.objects.select_related("model").order_by("model__name", "created_at"):
            here = version.engine == Engine.NULL or (bool(version.path) and version.file.is_file())
            if version.installed != here:
                version.installed = here
                version.save(update_fields=["installed"])
            if here:
                installed.append(f"{version.model.name}@{version.version}")
        return Synced(listed=list(Model.objects.order_by("name").values_list("name", flat=True)), installed=installed)


def register_version(metadata: dict[str, Any], *, path: str, engine: str = Engine.ONNX) -> ModelVersion:
    """Add or update one version of a model, from its metadata (the keys of a shipped metadata.json).

    `path` is relative to the folder of models. The caller has opened a platform scope.
    """
    model, _ = Model.objects.get_or_create(
        name=metadata["name"],
        defaults={
            "family": metadata["family"],
            "letter": metadata["letter"],
            "task": metadata["task"],
            "title": metadata.get("title", metadata["name"]),
            "description": metadata.get("description", ""),
        },
    )
    version, _ = ModelVersion.objects.update_or_create(
        model=model,
        version=metadata["version"],
        defaults={
            "channel": metadata.get("channel", Channel.STABLE),
            "engine": engine,
            "path": path,
            "sha256": metadata["sha256"],
            "classes": metadata["classes"],
            "end_to_end": metadata["end_to_end"],
            "stride": metadata["stride"],
            "default_img_size": metadata["default_img_size"],
            "metrics": metadata.get("metrics", {}),
            "installed": True,
        },
    )
    return version


def _register_shipped(metadata_file: Path) -> None:
    metadata = json.loads(metadata_file.read_text())
    file = metadata_file.parent / metadata.get("file", "model.onnx")
    if not file.is_file():
        raise ModelFileInvalid(f"{metadata_file} describes {file.name}, which is not beside it.")
    if hashlib.sha256(file.read_bytes()).hexdigest() != metadata["sha256"]:
        raise ModelFileInvalid(f"{file} is not the file that {metadata_file.name} describes: its sha256 differs.")
    register_version(metadata, path=str(file.relative_to(SHIPPED)))
