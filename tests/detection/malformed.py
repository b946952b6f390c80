"""Requests that nobody should be able to hurt us with, made anew from one seed in each run."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.detection.images import bmp_header, jpeg_header, picture, png_header, webp_header

KINDS = ("JPEG", "PNG", "WEBP", "BMP")
MODEL = "blank-n"


@dataclass(frozen=True)
class Request:
    """One request. `may_succeed` where the damage can leave something that is a picture after all."""

    what: str
    body: bytes
    content_type: str | None = "image/jpeg"
    path: str = f"/v1/detect?model={MODEL}"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    may_succeed: bool = False


def every_request(seed: int = 7) -> Iterator[Request]:
    """Yield all of them."""
    dice = random.Random(seed)
    yield from _cut_off(dice)
    yield from _damaged(dice)
    yield from _bombs()
    yield from _wrong_types(dice)
    yield from _fuzzed_json(dice)
    yield from _fuzzed_fields(dice)
    yield from _bad_multipart(dice)
    yield from _bad_queries(dice)
    yield from _bad_headers(dice)


def _cut_off(dice: random.Random) -> Iterator[Request]:
    for kind in KINDS:
        content = picture(kind, (80, 60))
        for _ in range(60):
            length = dice.randrange(len(content) - 1)
            yield Request(f"{kind} cut off at {length}", content[:length])


def _damaged(dice: random.Random) -> Iterator[Request]:
    for kind in KINDS:
        content = picture(kind, (80, 60))
        for _ in range(50):
            damaged = bytearray(content)
            for _ in range(dice.randint(1, 20)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            yield Request(f"{kind} with damage", bytes(damaged), may_succeed=True)


def _bombs() -> Iterator[Request]:
    for side in (7_100, 10_000, 16_383, 30_000, 60_000, 65_000):
        for make in (png_header, bmp_header, jpeg_header):
            yield Request(f"{make.__name__} of {side}", make(side, side))
        yield Request(f"webp of {side}", webp_header(min(side, 16_384), min(side, 16_384)))
    yield Request("png of 2^31-1", png_header(2**31 - 1, 2**31 - 1))
    yield Request("png of nothing", png_header(0, 0))
    yield Request("bmp of negative width", bmp_header(-100, 100))
    text = zlib.compress(bytes(50_000_000), 9)
    yield Request("png with a text of 50 MB", _png_with(b"zTXt", b"Comment\0\0" + text), may_succeed=True)
    yield Request("png with a profile of 50 MB", _png_with(b"iCCP", b"icc\0\0" + text), may_succeed=True)
    yield Request("20 MB of zeros", bytes(20_000_000))
    yield Request("more than 20 MB", b"\xff\xd8\xff" + bytes(20_000_000))
    large = json.dumps({"model": MODEL, "image": "A" * 26_600_000}).encode()
    yield Request("base64 of 20 MB of zeros", large, "application/json")
    yield Request("base64 of more", large[:-2] + b"A" * 500_000 + b'"}', "application/json")


def _png_with(name: bytes, body: bytes) -> bytes:
    content = picture("PNG")
    chunk = len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    return content[:33] + chunk + content[33:]


def _wrong_types(dice: random.Random) -> Iterator[Request]:
    contents = [b"GIF89a" + bytes(99), b"%PDF-1.7", b"PK\3\4" + bytes(99), b"<svg/>", b"\x7fELF", b"", b"\0", b"BM"]
    for content in contents:
        for content_type in ("image/jpeg", "image/png", "application/octet-stream", None):
            yield Request("another format", content, content_type)
    for _ in range(100):
        yield Request("noise", dice.randbytes(dice.randrange(1, 3000)), dice.choice(["image/png", "image/x", None]))
    types = [
        "text/plain",
        "application/xml",
        "image",
        "/",
        "application/json; charset=\xff",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded",
        "json",
        "a" * 4000,
        ";",
        "image/png/x",
    ]
    for content_type in types:
        yield Request(f"type {content_type[:40]}", b"{}", content_type)
    for encoding in ("gzip", "br", "deflate, gzip", "x"):
        yield Request("encoded", zlib.compress(picture()), "image/png", headers={"Content-Encoding": encoding})


def _fuzzed_json(dice: random.Random) -> Iterator[Request]:
    texts = [
        b"",
        b"{",
        b"}",
        b"null",
        b"true",
        b"[]",
        b"5",
        b'""',
        b"NaN",
        b"Infinity",
        b"-",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"image": "\\ud800", "model": "m"}',
        b'{"image": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b'{"model": "\\u0000", "image": "aa"}',
        b'{"image": 1e999}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 100_000,
        b'{"image":"' + b"=" * 1000 + b'"}',
        b'{"model":"blank-n","image":"data:"}',
        b'{"model":"blank-n","image":"data:image/png;base64"}',
        b'{"model":"blank-n","image":"data:;base64,"}',
    ]
    for path in ("/v1/detect", "/v1/estimate"):
        for text in texts:
            yield Request("json", text, "application/json", path, may_succeed=path == "/v1/estimate")
    good = json.dumps({"model": MODEL, "image": base64.b64encode(picture()).decode()}).encode()
    for _ in range(150):
        broken = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        yield Request("damaged json", bytes(broken), "application/json", "/v1/detect", may_succeed=True)


def _fuzzed_fields(dice: random.Random) -> Iterator[Request]:
    image = base64.b64encode(picture()).decode()
    names = [
        "model",
        "img_size",
        "conf",
        "iou",
        "max_det",
        "classes",
        "tags",
        "image",
        "image_url",
        "\u2603",
        "__proto__",
    ]
    for _ in range(250):
        fields = {"model": MODEL, "image": image}
        for name in dice.sample(names, dice.randint(1, 4)):
            fields[name] = _anything(dice, 3)
        path = dice.choice(["/v1/detect", "/v1/estimate"])
        yield Request("fields", json.dumps(fields).encode(), "application/json", path, may_succeed=True)


def _anything(dice: random.Random, depth: int) -> object:
    simple = [
        None,
        True,
        False,
        0,
        -1,
        10**400,
        1.5,
        -0.0,
        640,
        "",
        "640",
        "x" * 500,
        "\u0000",
        "\U0001f600",
        "' OR 1=1",
    ]
    if depth and dice.random() < 0.4:
        if dice.random() < 0.5:
            return [_anything(dice, depth - 1) for _ in range(dice.randrange(5))]
        return {f"k{n}": _anything(dice, depth - 1) for n in range(dice.randrange(5))}
    return dice.choice(simple)


def _bad_multipart(dice: random.Random) -> Iterator[Request]:
    image = picture("PNG")

    def part(disposition: str, content: bytes) -> bytes:
        return b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"

    file = part('form-data; name="file"; filename="a.png"', image)
    model = part('form-data; name="model"', MODEL.encode())
    end = b"--b--\r\n"
    bodies = [
        b"",
        end,
        b"--b",
        file,
        model + end,
        file + file + model + end,
        part('form-data; name="other"; filename="a"', image) + end,
        part('form-data; name="file"', image) + model + end,
        part("form-data", b"x") + end,
        part('form-data; name=""', b"x") + end,
        part('form-data; name="file"; filename=""', image) + model + end,
        b"--b\r\n\r\n" + image + b"\r\n" + end,
        file + part('form-data; name="model"', b"\0\xff") + end,
        file + model + model + end,
        b"".join(part(f'form-data; name="f{n}"', b"x") for n in range(2000)) + end,
        b"".join(part(f'form-data; name="f{n}"; filename="f"', b"x") for n in range(300)) + end,
        b"--b\r\n" + b"X: y\r\n" * 5000 + b"\r\n" + end,
        part('form-data; name="file"; filename="a"\r\nContent-Transfer-Encoding: base64', b"!!!") + end,
    ]
    for body in bodies:
        for boundary in ("b", "c"):
            content_type = f"multipart/form-data; boundary={boundary}"
            yield Request("multipart", body, content_type, "/v1/detect", may_succeed=True)
    for boundary in ("", '"', "x" * 300, "\xe9"):
        yield Request("boundary", file + model + end, f"multipart/form-data; boundary={boundary}", "/v1/detect")
    whole = file + model + end
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(dice.randint(1, 8)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        cut = bytes(broken[: dice.randrange(len(broken))])
        yield Request("damaged multipart", cut, "multipart/form-data; boundary=b", "/v1/detect", may_succeed=True)


def _bad_queries(dice: random.Random) -> Iterator[Request]:
    values = [
        "",
        "%00",
        "%ff",
        "-1",
        "1e9",
        "NaN",
        "0x10",
        "%F0%9F%98%80",
        "a" * 3000,
        "%",
        "[]",
        "{}",
        "..%2f",
        "9" * 400,
    ]
    for name in ("model", "img_size", "conf", "iou", "max_det", "classes", "tags", "extra"):
        for value in values:
            path = f"/v1/detect?model={MODEL}&{name}={value}" if name != "model" else f"/v1/detect?model={value}"
            yield Request(f"query {name}={value[:20]}", picture("PNG"), "image/png", path, may_succeed=True)
    for path in ("/v1/jobs", "/v1/usage"):
        for name in ("limit", "cursor", "status", "model", "from", "to", "group_by", "offset"):
            for value in values:
                yield Request("list", b"", None, f"{path}?{name}={value}", "GET", may_succeed=True)
    ids = ["0", "x", "%00", "00000000-0000-0000-0000-000000000000", "..x", "a" * 3000, "%ff", "*"]
    for job_id in ids:
        yield Request("job", b"", None, f"/v1/jobs/{job_id}", "GET")
        yield Request("job", b"{}", "application/json", f"/v1/jobs/{job_id}/cancel")
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "BREW"):
        yield Request(
            "method", b"", None, dice.choice(["/v1/detect", "/v1/jobs", "/v1/models"]), method, may_succeed=True
        )


def _bad_headers(dice: random.Random) -> Iterator[Request]:
    nothing = picture("PNG")[:50]
    headers = (
        [
            {"Prefer": value}
            for value in ("wait=-1", "wait=9999999999", "wait=a", ",,,;;;", "respond-async=", "x" * 4000)
        ]
        + [{"Idempotency-Key": value} for value in ("", "\xe9", "x" * 4000, "a\tb")]
        + [{"X-Request-Id": value} for value in ("<script>", "x" * 4000, "\xe9", "' OR 1=1")]
        + [{"X-Forwarded-For": value} for value in ("x", "1.2.3.4, ,", "::ffff:1.2.3.4", "9" * 4000, "[::1")]
        + [
            {"Accept": "image/png"},
            {"Cache-Control": "=,=;"},
            {"Accept-Language": "x" * 4000},
            {"Host": "a b"},
            {"Range": "bytes=0-"},
            {"If-Match": '"'},
            {"Cookie": "a=\xe9; sessionid=x"},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic eDp5"},
            {"Authorization": "Bearer " + "x" * 4000},
            {"Authorization": "Bearer tsk_\xe9"},
            {"X-Auth-Token": "\xff"},
        ]
    )
    for header in headers:
        yield Request(f"header {header}"[:80], nothing, "image/png", headers=header)
    for _ in range(20):
        yield Request(
            "header noise", nothing, "image/png", headers={f"X-{dice.randrange(99)}": "z" * dice.randrange(4000)}
        )
