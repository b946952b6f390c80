"""What a team writes in an afternoon: FastAPI around ultralytics, with torch. No tenants, no Tokens, no queue.

PLAIN_WEIGHTS=yolo26n.pt PLAIN_THREADS=2 uvicorn benchmarks.plain_server:app
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from fastapi import Body, FastAPI

from workers import torchvision_shim

torchvision_shim.install()

import torch  # noqa: E402 after the operators that it needs are there
from ultralytics import YOLO  # noqa: E402

# Importing ultralytics leaves one thread; the comparison gives it what ours has.
torch.set_num_threads(int(os.environ["PLAIN_THREADS"]))
IMG_SIZE = int(os.environ.get("PLAIN_IMG_SIZE", "640"))
model = YOLO(os.environ["PLAIN_WEIGHTS"])
model.predict(np.zeros((IMG_SIZE, IMG_SIZE, 3), np.uint8), imgsz=IMG_SIZE, nms=False, verbose=False)
app = FastAPI()


@app.get("/ready")
def ready() -> dict[str, bool]:
    """Answer once the model is loaded."""
    return {"ready": True}


@app.post("/detect")
def detect(image: bytes = Body(media_type="image/jpeg")) -> dict[str, Any]:
    """Return the boxes found in the image that is the body."""
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    result = model.predict(picture, imgsz=IMG_SIZE, nms=False, verbose=False)[0]
    return {"predictions": result.summary()}
