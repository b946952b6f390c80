"""Draw, train, evaluate and export the PCB defect model: `python -m workers.training COMMAND`.

dataset   draw the boards (minutes)
train     draw what is missing, then train (under 2 hours on 2 cores)
evaluate  score the catalogue's ONNX model, or --weights, on the held-out boards
export    write ONNX, weights, metadata and model card into the catalogue
samples   draw the catalogue's sample boards
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from workers.training.dataset import write_dataset
from workers.training.evaluate import as_json, evaluate, table
from workers.training.export import CATALOG, export_onnx, write_metadata, write_model_card, write_samples
from workers.training.train import Recipe, train

# What the model card also says how the model does at.
OTHER_SIZES = (320, 640)


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; see the module's text."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m workers.training", description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["dataset", "train", "evaluate", "export", "samples"])
    parser.add_argument("--work", type=Path, default=Path("runs/pcb"), help="where boards and weights are kept")
    parser.add_argument("--weights", type=Path, help="weights to evaluate or export (.pt or .onnx)")
    parser.add_argument("--catalog", type=Path, default=CATALOG, help="catalogue folder to read or write")
    parser.add_argument("--img-size", type=int, default=recipe.img_size, help="inference size in pixels")
    parser.add_argument("--device", default=recipe.device, help="cpu, or a GPU's number")
    parser.add_argument("--threads", type=int, default=recipe.threads)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    parser.add_argument("--json", type=Path, help="also write the scores there")
    given = parser.parse_args(arguments)

    recipe = replace(recipe, img_size=given.img_size, device=given.device, threads=given.threads)
    data = given.work / "data" / "data.yaml"
    trained = given.weights or given.work / "train" / f"{recipe.stages[-1].name}.pt"
    if given.command == "samples":
        write_samples(given.catalog / "samples")
    elif given.command == "dataset":
        write_dataset(data.parent)
    elif given.command == "train":
        write_dataset(data.parent)
        print(f"weights: {train(data, given.work / 'train', recipe, given.resume)}")
    elif given.command == "evaluate":
        write_dataset(data.parent, {"train": 0, "val": 0})
        scores = evaluate(given.weights or given.catalog / "model.onnx", data, img_size=given.img_size)
        print(table(scores))
        if given.json:
            given.json.write_text(json.dumps(as_json(scores), indent=2) + "\n")
    elif given.command == "export":
        write_dataset(data.parent, {"train": 0, "val": 0})
        export_onnx(trained, given.catalog / "model.onnx", given.img_size)
        shutil.copyfile(trained, given.catalog / "model.pt")
        scores, *others = (
            evaluate(given.catalog / "model.onnx", data, img_size=size) for size in (given.img_size, *OTHER_SIZES)
        )
        print(table(scores))
        write_metadata(given.catalog, recipe, scores)
        write_model_card(
            given.catalog, recipe, scores, {size: s[0].ap50 for size, s in zip(OTHER_SIZES, others, strict=True)}
        )


if __name__ == "__main__":
    main()
