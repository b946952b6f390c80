"""Turns trained weights into a catalogue entry: ONNX model, metadata, sample boards."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workers.torchvision_shim import install
from workers.training.boards import Board, draw_board
from workers.training.dataset import HELD_OUT_COUNT, SAMPLE_SEED, TRAIN_COUNT, write_jpeg
from workers.training.defects import CLASSES
from workers.training.evaluate import Score, as_json, table
from workers.training.train import Recipe

NAME = "pcb-defect-n"
VERSION = "1"
CATALOG = Path(__file__).resolve().parents[2] / "detection" / "catalog" / NAME
SAMPLE_COUNT = 8


def export_onnx(weights: Path, target: Path, img_size: int) -> None:
    """Write `weights` as ONNX at `target`: free batch size, height and width; the head that needs no NMS."""
    install()
    from ultralytics import YOLO

    made = YOLO(str(weights), task="detect").export(
        format="onnx", imgsz=img_size, dynamic=True, simplify=True, opset=17, device="cpu", nms=False
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, target)


def write_metadata(target: Path, recipe: Recipe, scores: list[Score]) -> None:
    """Describe `target`/model.onnx for the catalogue; `scores` are that file's own on the held-out boards."""
    model = (target / "model.onnx").read_bytes()
    metadata: dict[str, Any] = {
        "name": NAME,
        "version": VERSION,
        "title": "PCB defects",
        "description": "Finds six kinds of manufacturing defects on bare printed circuit boards.",
        "task": "detect",
        "letter": "n",
        "family": recipe.architecture.removesuffix("n").upper(),
        "classes": list(CLASSES),
        "default_img_size": recipe.img_size,
        "stride": 32,
        "end_to_end": _is_end_to_end(target / "model.onnx"),
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "trained_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": recipe.seed,
        "license": "AGPL-3.0-or-later",
        "metrics": as_json(scores),
    }
    (target / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def write_model_card(target: Path, recipe: Recipe, scores: list[Score], other_sizes: dict[int, float]) -> None:
    """Write `target`/MODEL_CARD.md; `other_sizes` is the mAP50 of the same model at other inference sizes."""
    import onnx

    model = onnx.load(target / "model.onnx")
    weights = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    template = string.Template((Path(__file__).parent / "model_card.template.md").read_text())
    card = template.substitute(
        name=NAME,
        version=VERSION,
        architecture=recipe.architecture,
        parameters=f"{weights / 1e6:.1f}",
        onnx_mb=f"{(target / 'model.onnx').stat().st_size / 1e6:.1f}",
        pt_mb=f"{(target / 'model.pt').stat().st_size / 1e6:.1f}",
        img_size=recipe.img_size,
        passes=f"{TRAIN_COUNT * recipe.passes_per_board:,.0f}",
        train_count=f"{TRAIN_COUNT:,}",
        seed=recipe.seed,
        held_out_count=HELD_OUT_COUNT,
        table=table(scores),
        other_sizes=", ".join(f"mAP50 {score:.3f} at {size}" for size, score in other_sizes.items()),
    )
    (target / "MODEL_CARD.md").write_text(card)


def _is_end_to_end(model: Path) -> bool:
    """Whether the model itself picks the boxes: rows of (x1, y1, x2, y2, score, class), no suppression needed."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.get_outputs()[0].shape[-1] == 6


def write_samples(folder: Path) -> list[Path]:
    """Draw the sample boards with their ground truth beside them and return the pictures' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, board in enumerate(_pick_samples(), start=1):
        path = folder / f"board-{number:02d}.jpg"
        write_jpeg(board, path, quality=90)
        truth = [
            {"class_id": b.class_id, "class_name": b.class_name, "bbox": [round(v, 1) for v in b.bbox]}
            for b in board.boxes
        ]
        path.with_suffix(".json").write_text(json.dumps(truth, indent=2) + "\n")
        paths.append(path)
    return paths


def _pick_samples() -> list[Board]:
    """One board of each material with at least four kinds of defects, richest first; then one that has none."""
    picked: dict[str, Board] = {}
    clean: Board | None = None
    index = 0
    while len(picked) < SAMPLE_COUNT - 1 or clean is None:
        board = draw_board(SAMPLE_SEED, index)
        index += 1
        if board.material in picked:
            continue
        if not board.boxes:
            clean = clean or board
        elif len(picked) < SAMPLE_COUNT - 1 and len({b.class_id for b in board.boxes}) >= 4:
            picked[board.material] = board
    return [*sorted(picked.values(), key=lambda b: -len({x.class_id for x in b.boxes})), clean]
