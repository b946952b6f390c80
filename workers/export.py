"""Installs official models: gets their weights, turns them into ONNX and puts them where workers look (torch extra)."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from detection.catalog.families import Listed
from detection.models import ModelVersion
from detection.services.catalogue import register_version
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

RELEASE = "v8.4.0"
WEIGHTS_URL = f"https://github.com/ultralytics/assets/releases/download/{RELEASE}"


class PullError(Exception):
    """A model could not be installed; the message says what to do."""


def pull(model: Listed, weights: Path | None = None) -> ModelVersion:
    """Install a model's newest official weights, or those in the file `weights`, and return the version.

    Installing the same weights again changes nothing. Raises PullError.
    """
    with tempfile.TemporaryDirectory(prefix="tokensight-pull-") as name:
        folder = Path(name)
        checkpoint = folder / model.weights
        if weights is None:
            _download(model, checkpoint)
            version = RELEASE.removeprefix("v")
        else:
            checkpoint.write_bytes(_content(weights))
            version = f"file-{hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]}"
        metadata = export(checkpoint, folder / "made", end_to_end=model.end_to_end) | {
            "name": model.name,
            "version": version,
            "task": "detect",
            "letter": model.letter,
            "family": model.family,
            "title": model.title,
            "description": model.description,
        }
        return _install(metadata, folder / "made")


def export(checkpoint: Path, folder: Path, *, end_to_end: bool) -> dict[str, Any]:
    """Write a `.pt` checkpoint to `folder` as model.onnx: free batch size, height and width.

    Returns what its metadata.json says of the file: classes, stride, end_to_end, default_img_size, sha256. With
    `end_to_end` the head that needs no NMS is taken. Raises PullError.
    """
    try:
        from workers import torchvision_shim

        torchvision_shim.install()
        from ultralytics import YOLO
        from ultralytics.utils import SAFE_LOAD
    except ImportError as error:
        raise PullError(f"Exporting needs torch and ultralytics (pip install 'tokensight[torch]'): {error}") from error
    if not SAFE_LOAD:
        # workers/apps.py asks for it before ultralytics is imported; without it a checkpoint could run code.
        raise PullError("ultralytics was imported before ULTRALYTICS_SAFE_LOAD was set")
    try:
        model = YOLO(str(checkpoint), task="detect")
        arguments = {"format": "onnx", "dynamic": True, "simplify": True, "opset": 17, "device": "cpu"}
        made = Path(model.export(**arguments, nms=False if end_to_end else None))
    except Exception as error:
        # ultralytics raises whatever unpickling, building and tracing the network raise.
        raise PullError(f"{checkpoint.name} is not a detection model that ultralytics can export: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "model.onnx"
    shutil.move(made, target)
    return {
        "classes": [model.names[number] for number in sorted(model.names)],
        "stride": max(int(model.model.stride.max()), 32),
        "end_to_end": end_to_end,
        "default_img_size": 640,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }


def _download(model: Listed, checkpoint: Path) -> None:
    try:
        from ultralytics.utils.downloads import safe_download
    except ImportError as error:
        raise PullError(f"Pulling needs torch and ultralytics (pip install 'tokensight[torch]'): {error}") from error
    url = f"{WEIGHTS_URL}/{model.weights}"
    try:
        safe_download(url=url, file=checkpoint, min_bytes=1e5, retry=1, progress=False)
    except Exception as error:
        # What a broken connection raises depends on where it breaks.
        raise PullError(
            f"{url} cannot be downloaded ({error}). On a closed network download it elsewhere, bring the file here and"
            f" run: manage.py models pull {model.name} --weights {model.weights}"
        ) from error


def _content(weights: Path) -> bytes:
    try:
        return weights.read_bytes()
    except OSError as error:
        raise PullError(f"{weights} cannot be read: {error.strerror}") from error


def _install(metadata: dict[str, Any], made: Path) -> ModelVersion:
    """Put the exported file where workers look, whole or not at all, and enter it into the catalogue."""
    (made / "metadata.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")
    models = Path(settings.DATA_DIR) / "models"
    path = Path(metadata["name"], metadata["version"], "model.onnx")
    target = models / path.parent
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as staging:
        shutil.copytree(made, Path(staging, "new"))
        if target.exists():
            target.rename(Path(staging, "old"))
        Path(staging, "new").rename(target)
    with platform_scope("models pull"):
        version = register_version(metadata, path=str(path))
    log.info("model_installed", model=metadata["name"], version=metadata["version"], path=str(models / path))
    return version
