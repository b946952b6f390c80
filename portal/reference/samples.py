"""A call of each operation in curl and in Python, made of what the document says of it."""

from __future__ import annotations

import json
import pprint
import re
from typing import Any

from portal.reference.document import Field, Operation

PLACEHOLDER = re.compile(r"\{(\w+)\}")
SECRETS = {"subToken": "TOKEN", "managementKey": "MANAGEMENT_KEY"}
WIDTH = 72
# What an image is sent with: no body of JSON is as short as a file.
FILES = {"detect": {"model": "pcb-defect-n", "file": "board.jpg"}}


def curl(operation: Operation, base_url: str) -> str:
    """Return the call for a shell; ids and secrets are variables of it."""
    path = PLACEHOLDER.sub(lambda found: f"${found[1].upper()}", operation.path)
    parts = [f'curl "{base_url}{path}"']
    body = _body(operation)
    sends = body is not None or operation.id in FILES
    if operation.method not in ({"POST"} if sends else {"GET"}):
        parts[0] = f'curl -X {operation.method} "{base_url}{path}"'
    parts.append(f'-H "Authorization: Bearer ${_secret(operation)}"')
    if operation.takes_key and operation.method == "POST":
        parts.append('-H "Idempotency-Key: $(openssl rand -hex 16)"')
    if operation.id in FILES:
        parts.append(
            " ".join(f"-F {name}={'@' if name == 'file' else ''}{value}" for name, value in FILES[operation.id].items())
        )
    elif body is not None:
        text = json.dumps(body, ensure_ascii=False)
        if len(text) > WIDTH:
            text = json.dumps(body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        parts.append('-H "Content-Type: application/json"')
        parts.append("-d '{}'".format(text.replace("'", "'\\''")))
    return " \\\n  ".join(parts)


def python(operation: Operation, base_url: str) -> str:
    """Return the call for Python with requests; ids are variables, secrets come from the environment."""
    names = PLACEHOLDER.findall(operation.path)
    address = f'{"f" if names else ""}"{base_url}{operation.path}"'
    headers = [f'"Authorization": f"Bearer {{os.environ[\'{_secret(operation)}\']}}"']
    imports = ["import os"]
    if operation.takes_key and operation.method == "POST":
        imports.append("import uuid")
        headers.append('"Idempotency-Key": str(uuid.uuid4())')
    lines = [address, f"headers={{{', '.join(headers)}}}"]
    if operation.id in FILES:
        sent = FILES[operation.id]
        lines.append(f'files={{"file": open("{sent["file"]}", "rb")}}')
        lines.append(f"data={ {name: value for name, value in sent.items() if name != 'file'}!r}".replace("'", '"'))
    elif (body := _body(operation)) is not None:
        shown = pprint.pformat(body, sort_dicts=False, width=WIDTH).replace("\n", "\n    ")
        lines.append(f"json={shown}")
    lines.append("timeout=60")
    inside = "".join(f"    {line},\n" for line in lines)
    called = f"answer = requests.{operation.method.lower()}(\n{inside})\nanswer.raise_for_status()"
    shown = "\nprint(answer.json())" if _answers_json(operation) else "\nprint(answer.text)"
    if not any(answer.bodies for answer in operation.answers):
        shown = ""
    return "\n".join(imports) + "\n\nimport requests\n\n" + called + shown


def _secret(operation: Operation) -> str:
    return SECRETS[operation.credentials[0]] if operation.credentials else "TOKEN"


def _answers_json(operation: Operation) -> bool:
    types = [one for answer in operation.answers for body in answer.bodies for one in body.content_types]
    return "application/json" in types


def _body(operation: Operation) -> Any:
    """Return what a call sends as JSON: the document's own example, or else what must be there."""
    for body in operation.bodies:
        if "application/json" not in body.content_types:
            continue
        if body.example is not None:
            return body.example
        needed = [field for field in body.fields if field.required and "." not in field.name and "[" not in field.name]
        return {field.name: _some(field) for field in needed}
    return None


def _some(field: Field) -> Any:
    if field.choices:
        return [field.choices[0]] if field.kind.startswith("array") else field.choices[0]
    kind = field.kind
    for start, value in (("array", []), ("object", {}), ("boolean", True), ("integer", 1), ("number", 1)):
        if kind.startswith(start):
            return value
    formats = {
        "(uuid)": "01a1fd25-6c1e-7c3a-9a55-0d5a3b6c1f10",
        "(date-time)": "2027-01-31T00:00:00Z",
        "(email)": "wei.zhang@example.com",
        "(uri)": "https://example.com/hook",
    }
    return next((value for word, value in formats.items() if word in kind), "…")
