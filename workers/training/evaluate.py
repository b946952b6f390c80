"""Measures a trained detector on boards that it has never seen, with ultralytics' own validator."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.torchvision_shim import install
from workers.training.defects import CLASSES


@dataclass(frozen=True)
class Score:
    """Precision and recall at the best F1, and average precision, for one class or all; each 0..1."""

    name: str
    boards: int
    defects: int
    precision: float
    recall: float
    ap50: float
    ap50_95: float


def evaluate(weights: Path, data: Path, *, img_size: int, split: str = "test", batch: int = 8) -> list[Score]:
    """Score `weights` (.pt, or .onnx through ONNX Runtime) on a split: first "all", then each class.

    Raises FileNotFoundError if the weights or the data set are missing.
    """
    for path in (weights, data):
        if not path.exists():
            raise FileNotFoundError(path)
    os.environ.setdefault("YOLO_VERBOSE", "false")
    install()
    from ultralytics import YOLO

    metrics: Any = YOLO(str(weights), task="detect").val(
        data=str(data.resolve()),
        split=split,
        imgsz=img_size,
        batch=batch,
        device="cpu",
        workers=0,
        rect=False,
        # Not "without suppression" but "with the head that needs none", as the ONNX model has it.
        nms=False,
        plots=False,
        verbose=False,
        project=str(data.resolve().parent / "evaluation"),
        name=weights.stem,
        exist_ok=True,
    )
    boards, defects = metrics.nt_per_image, metrics.nt_per_class
    total = len(list((data.parent / "images" / split).glob("*.jpg")))
    scores = [
        Score("all", total, int(defects.sum()), *(round(float(v), 4) for v in metrics.box.mean_results())),
    ]
    for row, class_id in enumerate(metrics.box.ap_class_index):
        values = (round(float(v), 4) for v in metrics.box.class_result(row))
        scores.append(Score(CLASSES[class_id], int(boards[class_id]), int(defects[class_id]), *values))
    return scores


def table(scores: list[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [
        "| class | boards | defects | precision | recall | AP50 | AP50-95 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for s in scores:
        numbers = (s.precision, s.recall, s.ap50, s.ap50_95)
        lines.append(f"| {s.name} | {s.boards} | {s.defects} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |")
    return "\n".join(lines)


def as_json(scores: list[Score]) -> dict[str, dict[str, float | int]]:
    """The scores by class name, for metadata."""
    return {score.name: {k: v for k, v in asdict(score).items() if k != "name"} for score in scores}
