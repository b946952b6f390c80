"""Everything that somebody can do makes an audit event, or is listed here with the reason why not.

Read from the source: from each door (a service that is told who acts, an operation of the API that writes, a page that
takes a form) the calls are followed through the project until one records an event.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tenants", "billing", "detection", "portal")
RECORDING = "tenants.services.audit.record"
WRITING_METHODS = {"post", "put", "patch", "delete"}

# What makes no event, and why.
EXCEPTIONS = {
    "billing.services.transfers.post": "the ledger's own journal, written under acts that are recorded",
    "billing.services.transfers.post_all": "the ledger's own journal, written under acts that are recorded",
    "billing.services.allocations.allocate": "the ledger's own journal; billing.services.splitting records the act",
    "billing.services.allocations.reclaim": "the ledger's own journal; billing.services.splitting records the act",
    "billing.services.allocations.move_sideways": "the ledger's own journal; services.splitting records the act",
    "billing.services.slices.add_tokens": "part of acts on sub-tokens, which are recorded",
    "billing.services.slices.open_slice": "part of acts on sub-tokens, which are recorded",
    "billing.services.slices.take_back": "part of acts on sub-tokens, which are recorded",
    "billing.services.sub_tokens.draft_sub_token": "part of making sub-tokens, which is recorded",
    "billing.services.grants.issue_grant": "the ledger's own journal; who gives Tokens calls give_tokens",
    "billing.services.code_guesses.check_guesses": "changes nothing: how often did they guess?",
    "billing.services.code_guesses.note_guess": "only counted, to bound it: nothing of the organization changes",
    "billing.services.code_purchases.quote_code": "changes nothing",
    "billing.services.code_purchases.reserve_code": "part of beginning a payment, which is recorded",
    "billing.views.cards.card_new": "leads to Stripe's page; what is saved there is recorded when it is",
    "billing.services.codes.find_code": "part of using a code, which is recorded",
    "billing.services.codes.grant_of_code": "part of using a code, which is recorded",
    "billing.services.debts.settle_from": "the ledger's own journal; the purchase that brings it is recorded",
    "billing.services.debts.give_back": "the ledger's own journal, written under acts that are recorded",
    "billing.views.splits.splitting_split_preview": "changes nothing",
    "billing.views.sub_token_life.sub_tokens_lookup": "changes nothing: whose secret is this?",
    "billing.api.sub_token_life.LookupView.post": "changes nothing: whose secret is this?",
    "billing.services.withdrawals.withdraw": "the ledger's own journal; corrections and refunds record it",
    "billing.api.plans.PlanPreviewView.post": "changes nothing",
    "detection.api.detect.DetectView.post": "a call: the log of calls has it",
    "detection.api.detect.EstimateView.post": "changes nothing",
    "billing.views.billing_home.billing_details": "leads to Stripe's page; what is changed there is kept there",
    "billing.views.alerts.alert_read": "what a person has read changes nothing for anybody else",
    "billing.views.alerts.alerts_read_all": "what a person has read changes nothing for anybody else",
    "detection.views.playground.playground_run": "a call: the log of calls has it",
    "detection.views.playground.playground_quote": "changes nothing",
}


@dataclass
class Function:
    """A function or method: what it calls, by the names that its module gives them, and what it is."""

    name: str
    module: str
    node: ast.FunctionDef
    owner: str = ""
    calls: set[str] = field(default_factory=set)

    @property
    def path(self) -> str:
        return ".".join(part for part in (self.module, self.owner, self.name) if part)


def functions_of(module: str, tree: ast.Module) -> Iterator[Function]:
    """Yield a module's functions and methods with the full names of what they call, as far as imports tell."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    known |= {name: f"{module}.{name}" for name in own}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield _function(node, module, "", known)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    yield _function(member, module, node.name, known)


def _function(node: ast.FunctionDef, module: str, owner: str, known: dict[str, str]) -> Function:
    found = Function(node.name, module, node, owner)
    # Without its decorators: those of pages record that staff looked, not what was done.
    for part in (part for statement in node.body for part in ast.walk(statement)):
        # Names count, called or handed on: a service is often an argument (`do_once(work=...)`, a table of acts).
        if isinstance(part, ast.Name) and part.id in known:
            found.calls.add(known[part.id])
        if isinstance(part, ast.Attribute):
            if isinstance(part.value, ast.Name) and part.value.id in {"self", "cls", "view"} and owner:
                found.calls.add(f"{module}.{owner}.{part.attr}")
            elif isinstance(part.value, ast.Name) and part.value.id in known:
                found.calls.add(f"{known[part.value.id]}.{part.attr}")
    return found


def read(sources: dict[str, str]) -> dict[str, Function]:
    """Return every function of these modules by its full name."""
    return {
        function.path: function
        for module, source in sources.items()
        for function in functions_of(module, ast.parse(source))
    }


def project() -> dict[str, str]:
    """Return the source of every module of the project that serves or decides."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "migrations" not in path.parts and "management" not in path.parts
    }


def records(path: str, functions: dict[str, Function], seen: set[str] | None = None) -> bool:
    """Return whether some way through the calls leads from a function to the recording of an event."""
    seen = set() if seen is None else seen
    if path == RECORDING:
        return True
    if path in seen:
        return False
    seen.add(path)
    if path in functions:
        return any(records(call, functions, seen) for call in functions[path].calls)
    # A class stands for all of its methods, a module of services for none.
    methods = [name for name in functions if name.startswith(f"{path}.") and name.count(".") == path.count(".") + 1]
    return bool(methods) and path.rpartition(".")[2][:1].isupper() and any(records(m, functions, seen) for m in methods)


def doors(functions: dict[str, Function]) -> list[str]:
    """Return the functions through which somebody changes something."""
    found = []
    for path, function in functions.items():
        parts = function.module.split(".")
        arguments = {argument.arg for argument in (*function.node.args.args, *function.node.args.kwonlyargs)}
        service = "services" in parts and not function.owner and "actor" in arguments
        operation = "api" in parts and function.owner.endswith("View") and function.name in WRITING_METHODS
        page = "views" in parts and not function.owner and _takes_a_form(function.node)
        if (service or operation or page) and not function.name.startswith("_"):
            found.append(path)
    return sorted(found)


def _takes_a_form(node: ast.FunctionDef) -> bool:
    named = ast.unparse(ast.Module(body=node.decorator_list, type_ignores=[]))  # type: ignore[arg-type]
    return "console_page" in named and ("require_POST" in named or "'POST'" in named)


FUNCTIONS = read(project())
DOORS = [path for path in doors(FUNCTIONS) if path not in EXCEPTIONS and path != RECORDING]


def test_the_doors_are_found() -> None:
    for expected in (
        "tenants.services.teams.create_team",
        "billing.services.sub_tokens.create_sub_token",
        "billing.api.sub_tokens.SubTokenListView.post",
        "tenants.views.members.member_role",
    ):
        assert expected in DOORS
    assert len(DOORS) > 60


@pytest.mark.parametrize("path", DOORS)
def test_an_act_is_recorded(path: str) -> None:
    assert records(path, FUNCTIONS), "record an event there, or say in EXCEPTIONS why it needs none"


@pytest.mark.parametrize("path", sorted(EXCEPTIONS))
def test_an_exception_is_one(path: str) -> None:
    assert path in FUNCTIONS, "it is gone: take it out of EXCEPTIONS"
    assert not records(path, FUNCTIONS), "it is recorded: take it out of EXCEPTIONS"


def test_a_door_without_an_event_would_be_found() -> None:
    sources = {
        "tenants.services.audit": "def record(*, actor): ...",
        "tenants.services.good": "from tenants.services import audit\ndef _note(x): audit.record(actor=x)\n"
        "def act(*, actor): _note(actor)",
        "tenants.services.bad": "from tenants.services.good import _note\ndef act(*, actor): note(actor)",
        "tenants.api.bad": "from tenants.services.bad import act\nclass ThingView:\n    def post(self): act(actor=1)\n"
        "    def get(self): ...",
    }
    functions = read(sources)
    found = [path for path in doors(functions) if path != RECORDING]
    assert found == ["tenants.api.bad.ThingView.post", "tenants.services.bad.act", "tenants.services.good.act"]
    assert [path for path in found if not records(path, functions)] == found[:2]
