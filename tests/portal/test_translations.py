"""Every word that a person can read has its Chinese, and the catalogue holds nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(settings.BASE_DIR)
ROOMS = ("portal", "tenants", "billing", "detection", "workers")
SINGULAR = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
IN_CONTEXT = {"pgettext", "pgettext_lazy", "npgettext", "npgettext_lazy"}
STRING = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
MARKED = re.compile(rf"\b(_|n?p?gettext)\(\s*({STRING})(?:\s*,\s*({STRING}))?")
PLACEHOLDER = re.compile(r"%\((\w+)\)s|<(/?\w+)>")

Key = tuple[str | None, str]


def in_python() -> Iterator[Key]:
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if name in SINGULAR and texts and isinstance(texts[0], str):
                yield None, texts[0]
            elif name in IN_CONTEXT:
                yield str(texts[0]), str(texts[1])


def in_templates() -> Iterator[Key]:
    for path in (ROOT / "templates").rglob("*"):
        if path.suffix in {".html", ".txt"}:
            for function, first, second in MARKED.findall(templatize(path.read_text(), origin=str(path))):
                texts = [ast.literal_eval(text) for text in (first, second) if text]
                yield (texts[0], texts[1]) if "pgettext" in function else (None, texts[0])


def catalogue() -> dict[Key, polib.POEntry]:
    entries = polib.pofile(str(ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"))
    return {(entry.msgctxt or None, entry.msgid): entry for entry in entries if not entry.obsolete}


def test_every_marked_text_is_translated_and_no_other() -> None:
    marked = {*in_python(), *in_templates()}
    assert len(marked) > 300
    known = catalogue()
    assert marked - known.keys() == set()
    assert known.keys() - marked == set()
    for entry in known.values():
        assert "fuzzy" not in entry.flags, entry.msgid
        assert all(entry.msgstr_plural.values()) if entry.msgid_plural else entry.msgstr, entry.msgid


def test_translations_keep_the_placeholders_and_the_word_token() -> None:
    for entry in catalogue().values():
        for text in entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]:
            original = entry.msgid_plural or entry.msgid
            assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(original)), entry.msgid
            if re.search(r"\bTokens?\b", entry.msgid):
                assert "Token" in text, entry.msgid


def test_no_text_is_translated_before_somebody_asks_for_it() -> None:
    """What is translated when its module is read speaks the server's language to everybody for ever."""
    eager = []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        module = ast.parse(path.read_text())
        at_once = {
            alias.asname or alias.name
            for node in module.body
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
            for alias in node.names
            if alias.name in {"gettext", "ngettext", "pgettext", "npgettext"}
        }
        waiting: list[ast.AST] = [module]
        while waiting:
            node = waiting.pop()
            # A function's body runs when it is called; what stands above and in its head, at once.
            parts = node.args.defaults if isinstance(node, ast.FunctionDef | ast.Lambda) else ast.iter_child_nodes(node)
            waiting += parts
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in at_once:
                eager.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert eager == []
