"""Lists as CSV, streamed, so that a long one needs no more memory than a short one."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

LINES_AT_ONCE = 500
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class _Echo:
    """A file that gives back what is written, so that the csv module writes straight into the stream."""

    def write(self, line: str) -> str:
        return line


def csv_response(filename: str, rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Return rows (the first one is the heading) as a download.

    The stream outlives the view and its scope: `rows` opens a scope of its own for each batch that it reads.
    """
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8", headers=headers)


def _lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the file in pieces of many lines: each piece is compressed and sent by itself."""
    writer = csv.writer(_Echo())
    lines: list[str] = []
    for row in rows:
        lines.append(writer.writerow([harmless(value) for value in row]))
        if len(lines) == LINES_AT_ONCE:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)


def harmless(value: Any) -> Any:
    """Return a value as the text of a cell; one that a spreadsheet would run as a formula is marked as text."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
