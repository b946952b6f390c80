"""The API reference: whole, true to the document, and with samples that can be run."""

from __future__ import annotations

import ast
import json
import re
import shlex
from http import HTTPStatus

import pytest
from django.test import Client

from portal.reference.chapters import CHAPTERS
from portal.reference.document import Field, Operation, Reader, operations
from portal.reference.errors import ADVICE
from portal.reference.samples import curl, python
from portal.templatetags.reference import inline, prose
from portal.views.reference import operations_of
from tenants.api.document import document
from tenants.api.problems import STATUS_OF_CODE

BASE = "https://tokensight.example"
HEAVIEST = 300_000  # bytes of a page


def each() -> list[Operation]:
    return list(operations())


def test_every_operation_of_the_document_is_in_one_chapter() -> None:
    told = [operation.id for chapter in CHAPTERS for operation in operations_of(chapter)]
    ids = [found["operationId"] for methods in document()["paths"].values() for found in methods.values()]
    assert sorted(told) == sorted(ids)
    assert len(set(ids)) == len(ids) > 100


def test_every_error_has_its_advice_and_no_other() -> None:
    assert ADVICE.keys() == STATUS_OF_CODE.keys()
    for operation in each():
        for answer in operation.errors:
            # What follows "with" is a member of the answer, not a code.
            codes = re.findall(r"(?<!with )(?<!with a )`([a-z_]+)`", answer.text)
            assert {code: STATUS_OF_CODE.get(code) for code in codes} == dict.fromkeys(codes, int(answer.status))


@pytest.mark.django_db
@pytest.mark.parametrize("slug", [chapter.slug for chapter in CHAPTERS])
def test_anybody_may_read_a_chapter(client: Client, slug: str) -> None:
    answer = client.get(f"/api/{slug}/")
    page = answer.content.decode()
    assert answer.status_code == HTTPStatus.OK
    assert len(answer.content) < HEAVIEST
    for operation in operations_of(next(chapter for chapter in CHAPTERS if chapter.slug == slug)):
        assert page.count(f' id="{operation.id}"') == 1
        assert operation.path in page


@pytest.mark.django_db
def test_the_first_page_lists_every_operation_and_every_error(client: Client) -> None:
    page = client.get("/api/").content.decode()
    for operation in each():
        assert f"#{operation.id}" in page
    for code, status in STATUS_OF_CODE.items():
        assert re.search(rf'id="code-{code}"><dt><span class="status">{status}</span>', page)
    assert client.get("/api/nothing/").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("operation", each(), ids=lambda operation: operation.id)
def test_samples_are_what_a_shell_and_python_can_read(operation: Operation) -> None:
    words = shlex.split(curl(operation, BASE).replace("$(openssl rand -hex 16)", "key"))
    assert words[0] == "curl"
    assert any(word.startswith(f"{BASE}/v1/") and "{" not in word for word in words)
    sent = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
    tree = ast.parse(python(operation, BASE))
    call = next(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    )
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    assert isinstance(call.func, ast.Attribute)
    assert call.func.attr == operation.method.lower()
    assert (ast.literal_eval(given["json"]) if "json" in given else None) == sent
    # What must be there is there.
    for body in operation.bodies:
        if sent is not None and "application/json" in body.content_types:
            needed = {field.name for field in body.fields if field.required and not set(".[") & set(field.name)}
            assert needed <= sent.keys()


def test_a_nested_answer_is_one_list_of_fields() -> None:
    schemas = {
        "Box": {"type": "object", "properties": {"bbox": {"type": "array", "items": {"type": "number"}}}},
        "Found": {
            "type": "object",
            "required": ["boxes"],
            "properties": {
                "boxes": {"type": "array", "items": {"$ref": "#/components/schemas/Box"}},
                "mode": {"oneOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]},
                "again": {"$ref": "#/components/schemas/Found"},
            },
        },
    }
    fields = list(Reader(schemas)._fields({"$ref": "#/components/schemas/Found"}))
    assert fields[0] == Field("boxes", "array of object", "", required=True)
    assert fields[1].name == "boxes[].bbox"
    assert fields[1].kind == "array of number"
    assert fields[2] == Field("mode", "string or null", "", choices=("a", "b"))
    # A schema within itself ends somewhere.
    assert max(field.name.count("again") for field in fields) < 7


def test_the_documents_own_text_is_escaped() -> None:
    assert inline("`a<b` & <script>") == "<code>a&lt;b</code> &amp; &lt;script&gt;"
    assert prose("One\nline.\n\nAnother `x`.") == "<p>One line.</p><p>Another <code>x</code>.</p>"
