"""Writes series of boards to disk in the form that the ultralytics trainer reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from workers.training.boards import Board, Box, draw_board
from workers.training.camera import PICTURE_SIZE
from workers.training.defects import CLASSES

# Series that never meet: what is learned, what progress is watched on, what is reported, what is shown.
TRAIN_SEED, WATCH_SEED, HELD_OUT_SEED, SAMPLE_SEED = 101, 202, 303, 404
TRAIN_COUNT, WATCH_COUNT, HELD_OUT_COUNT = 4000, 100, 300

SPLITS = {
    "train": (TRAIN_SEED, TRAIN_COUNT),
    "val": (WATCH_SEED, WATCH_COUNT),
    "test": (HELD_OUT_SEED, HELD_OUT_COUNT),
}


def label_lines(boxes: Iterable[Box]) -> str:
    """YOLO label text: class, centre x, centre y, width, height, all but the class in 0..1."""
    lines = []
    for box in boxes:
        x1, y1, x2, y2 = (v / PICTURE_SIZE for v in box.bbox)
        lines.append(f"{box.class_id} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n")
    return "".join(lines)


def write_jpeg(board: Board, path: Path, quality: int = 92) -> None:
    """Save the picture; raises OSError when it cannot be written."""
    if not cv2.imwrite(str(path), board.picture, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(f"cannot write {path}")


def write_dataset(root: Path, counts: dict[str, int] | None = None, processes: int = 2) -> Path:
    """Draw every split under `root` and return the path of its data.yaml.

    `counts` (split name -> boards) asks for other numbers than the standard ones; a
    shorter split is the beginning of the longer one. Boards that are there already
    are drawn again only if their label file is missing.
    """
    root.mkdir(parents=True, exist_ok=True)
    tasks: list[tuple[Path, str, int, int]] = []
    for split, (seed, standard) in SPLITS.items():
        count = (counts or {}).get(split, standard)
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        missing = (index for index in range(count) if not _label_path(root, split, index).exists())
        tasks += [(root, split, seed, index) for index in missing]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_write_one, tasks, chunksize=16), start=1):
            if done % 500 == 0:
                print(f"{done} of {len(tasks)} boards drawn", flush=True)
    config = root / "data.yaml"
    splits = {split: f"images/{split}" for split in SPLITS}
    # JSON is YAML too.
    config.write_text(json.dumps({"path": str(root.resolve()), **splits, "names": list(CLASSES)}, indent=2) + "\n")
    return config


def _label_path(root: Path, split: str, index: int) -> Path:
    return root / "labels" / split / f"board-{index:05d}.txt"


def _write_one(task: tuple[Path, str, int, int]) -> None:
    root, split, seed, index = task
    cv2.setNumThreads(1)
    board = draw_board(seed, index)
    write_jpeg(board, root / "images" / split / f"board-{index:05d}.jpg")
    _label_path(root, split, index).write_text(label_lines(board.boxes))
