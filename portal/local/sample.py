"""The sample job: a circuit board sent through the public API as any caller would, and its bill checked exactly."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from portal.local.report import Failure, colour, say
from portal.local.supervisor import python

MODEL_DIRECTORY = Path(__file__).resolve().parents[2] / "detection" / "catalog" / "pcb-defect-n"
SAMPLE = MODEL_DIRECTORY / "samples" / "board-01.jpg"
# The published price of size n: 0.7 Token at 640 pixels, by the square of the side.
BETA_N = Decimal("0.7")
SAME_PLACE = 0.5
SECONDS = 60


def not_ready(base_url: str) -> str | None:
    """Return what the product still waits for, or None when it can serve."""
    try:
        with urllib.request.urlopen(f"{base_url}/readyz", timeout=5):  # noqa: S310 our own address
            return None
    except urllib.error.HTTPError as error:
        if error.code != 503:
            return f"/readyz answers {error.code}"
        checks: dict[str, str] = json.load(error)["checks"]
        return "no " + ", no ".join(name for name, outcome in checks.items() if outcome != "ok")
    except OSError as error:
        return f"the web server does not answer ({error})"


class Refused(Failure):
    """The call was refused, as the product refuses who has spent all, owes Tokens, or is frozen."""


def run(demo: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Send the sample; print what it found and cost and what is left; verify ledger and audit log.

    Raises Failure; Refused where the organization may not spend as it is now.
    """
    sub_token = demo["sub_tokens"][0]
    before = _available(demo["base_url"], sub_token["secret"])
    started = time.monotonic()
    answer = _call(
        f"{demo['base_url']}/v1/detect?model=pcb-defect-n", sub_token["secret"], SAMPLE.read_bytes(), "image/jpeg"
    )
    seconds = time.monotonic() - started
    say()
    say(colour(f"{SAMPLE.name} through POST /v1/detect with the sub-token “{sub_token['name']}”", "1"))
    missed = _compare(answer["predictions"], json.loads(SAMPLE.with_suffix(".json").read_text(), parse_float=Decimal))
    usage = answer["usage"]
    say(
        f"  {answer['count']} found in {seconds * 1000:.0f} ms; cost {usage['tokens']} Token"
        f"{' (cached)' if usage['cached'] else ''}, {usage['remaining_tokens']} left"
    )
    if missed:
        raise Failure(
            f"The sample job missed {missed} of the board's defects: the model's file or the engine is not right."
        )
    _check_bill(answer, before, _available(demo["base_url"], sub_token["secret"]))
    _prove(env)


def _compare(predictions: list[dict[str, Any]], truth: list[dict[str, Any]]) -> int:
    """Print found beside drawn, and return how many drawn defects were not found."""
    left = list(predictions)
    missed = 0
    say(f"  {'drawn on the board':<20} {'found':<20} {'confidence':>10}   box (x1, y1, x2, y2)")
    for defect in truth:
        match = next((found for found in left if _same(found, defect)), None)
        if match is None:
            missed += 1
            say(f"  {defect['class_name']:<20} {colour('not found', '31')}")
            continue
        left.remove(match)
        say(f"  {defect['class_name']:<20} {_row(match)}")
    for extra in left:
        say(f"  {'-':<20} {_row(extra)}")
    return missed


def _row(found: dict[str, Any]) -> str:
    box = ", ".join(f"{float(value):.0f}" for value in found["bbox"])
    return f"{found['class_name']:<20} {float(found['confidence']):>10.2f}   {box}"


def _same(found: dict[str, Any], drawn: dict[str, Any]) -> bool:
    return found["class_name"] == drawn["class_name"] and _overlap(found["bbox"], drawn["bbox"]) >= SAME_PLACE


def _overlap(one: list[Any], other: list[Any]) -> float:
    """Return intersection over union of two boxes."""
    a, b = [float(value) for value in one], [float(value) for value in other]
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def _check_bill(answer: dict[str, Any], before: Decimal, after: Decimal) -> None:
    size = Decimal(json.loads((MODEL_DIRECTORY / "metadata.json").read_text())["default_img_size"])
    usage = answer["usage"]
    expected = Decimal(0) if usage["cached"] else (BETA_N * size**2 / 640**2).quantize(Decimal("0.001"))
    if not usage["tokens"] == expected == before - after or usage["remaining_tokens"] != after:
        raise Failure(
            f"The bill is not exact: {expected} expected, {usage['tokens']} billed, and the balance went from {before}"
            f" to {after} while the answer says {usage['remaining_tokens']} are left."
        )


def _prove(env: Mapping[str, str]) -> None:
    result = subprocess.run(  # noqa: S603 our own command
        python("-m", "portal.local.prove"), env=dict(env), capture_output=True, text=True, check=False
    )
    for line in result.stdout.splitlines():
        say(f"  {line}")
    if result.returncode:
        raise Failure(result.stderr.strip() or "The ledger or the audit log is not right: see the lines above.")


def _available(base_url: str, secret: str) -> Decimal:
    return Decimal(_call(f"{base_url}/v1/balance", secret)["available_tokens"])


def _call(url: str, secret: str, body: bytes | None = None, content_type: str = "application/json") -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 our own address
        url, data=body, headers={"Authorization": f"Bearer {secret}", "Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response, parse_float=Decimal)
            if response.status != 200:
                raise Failure(f"The sample job was not done within the wait ({response.status}): {answer}")
            return answer
    except urllib.error.HTTPError as error:
        kind = Refused if error.code in {403, 429} else Failure
        raise kind(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from error
