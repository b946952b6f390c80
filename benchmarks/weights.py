"""Builds an untrained model, as a checkpoint and as ONNX: `python -m benchmarks.weights FOLDER NAME`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(folder: Path, name: str) -> None:
    """Write NAME.pt, model.onnx and metadata.json to `folder`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    os.environ.setdefault("DEVELOPMENT", "1")
    import django

    django.setup()
    from detection.catalog.families import official_model
    from workers import torchvision_shim
    from workers.export import export

    torchvision_shim.install()
    import torch
    from ultralytics import YOLO

    listed = official_model(name)
    if listed is None:
        raise SystemExit(f"{name} is no official model")
    torch.manual_seed(0)
    YOLO(f"{name}.yaml").save(str(folder / listed.weights))
    metadata = export(folder / listed.weights, folder, end_to_end=listed.end_to_end) | {
        "name": name,
        "version": "untrained",
        "task": "detect",
        "letter": listed.letter,
        "family": listed.family,
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
