"""Statements on paper and as a table. What does not reconcile is not printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from fpdf import FPDF
from fpdf.enums import Align, TableBordersLayout
from fpdf.fonts import FontFace

from billing.enums import TransferKind
from billing.errors import StatementOff
from billing.queries.statements import DRAWN, Statement

FONT = Path(__file__).parent / "fonts" / "wqy-microhei.ttc"
GREY = (96, 104, 117)
MARGIN_MM = 18


def line_name(kind: str) -> str:
    """Return what a line of a statement is called."""
    return _("Drawn on accounts above") if kind == DRAWN else str(TransferKind(kind).label)


def statement_rows(statement: Statement) -> Iterator[list[Any]]:
    """Yield a statement as the lines of a table, Tokens with three decimals. Raises StatementOff."""
    refuse_what_is_off(statement)
    yield ["line", "in", "out", "balance"]
    yield ["opening", "", "", _decimal(statement.opening_mtok)]
    for line in statement.lines:
        yield [line.kind, _decimal(line.in_mtok), _decimal(line.out_mtok), ""]
    yield ["closing", _decimal(statement.in_mtok), _decimal(statement.out_mtok), _decimal(statement.closing_mtok)]
    for spender in statement.spenders:
        yield [f"captured: {spender.label}", "", _decimal(spender.mtok), ""]


def refuse_what_is_off(statement: Statement) -> None:
    """Raise StatementOff if a statement does not reconcile."""
    if statement.differences:
        raise StatementOff(statement.differences)


def statement_pdf(statement: Statement) -> bytes:
    """Return a statement as a PDF of A4 pages, in the language of the reader. Raises StatementOff."""
    refuse_what_is_off(statement)
    page = _Page(statement)
    page.heading()
    page.amounts()
    if statement.spenders:
        page.spenders()
    return bytes(page.output())


class _Page(FPDF):
    """An A4 statement with the page's number at its foot."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(format="A4")
        self.statement = statement
        self.set_margin(MARGIN_MM)
        self.set_auto_page_break(True, margin=MARGIN_MM)
        self.add_font("text", fname=FONT)
        self.set_title(f"{_title(statement)}, {_month(statement)}")
        self.set_creator("Tokensight")
        self.add_page()

    def footer(self) -> None:
        """Number the pages."""
        self.set_y(-MARGIN_MM)
        self.set_font("text", size=8)
        self.set_text_color(*GREY)
        self.cell(w=0, text=f"{self.page_no()} / {{nb}}", align=Align.R)

    def heading(self) -> None:
        """Say whose statement it is, of which month, and that it reconciles."""
        statement = self.statement
        self.set_font("text", size=18)
        self.cell(text=_("Statement of Tokens"), new_x="LMARGIN", new_y="NEXT", h=10)
        self.set_font("text", size=12)
        self.multi_cell(w=0, text=_title(statement), new_x="LMARGIN", new_y="NEXT", h=7)
        self.cell(text=_month(statement), new_x="LMARGIN", new_y="NEXT", h=7)
        self.set_font("text", size=9)
        self.set_text_color(*GREY)
        told = (
            _("Reconciled with the ledger's entries to the thousandth of a Token. Times are UTC.")
            if statement.final
            else _("Provisional: the month is not over. Reconciled so far with the ledger's entries.")
        )
        self.multi_cell(w=0, text=told, new_x="LMARGIN", new_y="NEXT", h=6)
        self.set_text_color(0)
        self.ln(4)

    def amounts(self) -> None:
        """Write opening, movements and closing."""
        statement = self.statement
        self.set_font("text", size=10)
        with self._columns((46, 18, 18, 18)) as table:
            table.row([_("Movement"), _("In"), _("Out"), _("Balance")])
            table.row([_("Opening balance"), "", "", _shown(statement.opening_mtok)])
            for line in statement.lines:
                table.row([line_name(line.kind), _shown(line.in_mtok), _shown(line.out_mtok), ""])
            table.row(
                [
                    _("Closing balance"),
                    _shown(statement.in_mtok),
                    _shown(statement.out_mtok),
                    _shown(statement.closing_mtok),
                ]
            )
        self.ln(8)

    def spenders(self) -> None:
        """Write which accounts the captures went through."""
        self.set_font("text", size=12)
        self.cell(text=_("Captured, by account"), new_x="LMARGIN", new_y="NEXT", h=8)
        self.set_font("text", size=10)
        with self._columns((60, 20, 20)) as table:
            table.row([_("Account"), _("Captures"), _("Tokens")])
            for spender in self.statement.spenders:
                table.row([spender.label, f"{spender.captures:,}", _shown(spender.mtok)])

    def _columns(self, widths: tuple[int, ...]) -> Any:
        return self.table(
            col_widths=widths,
            text_align=(Align.L, *([Align.R] * (len(widths) - 1))),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(emphasis="", color=GREY),
            line_height=6,
        )


def _title(statement: Statement) -> str:
    return f"{statement.organization} · {statement.team}" if statement.team else statement.organization


def _month(statement: Statement) -> str:
    # Translators: how a statement names its month, in Django's date format; "F Y" is "October 2026".
    return date_format(statement.month, pgettext("month of a statement", "F Y"))


def _decimal(mtok: int) -> str:
    sign = "-" if mtok < 0 else ""
    whole, thousandths = divmod(abs(mtok), 1000)
    return f"{sign}{whole}.{thousandths:03d}"


def _shown(mtok: int) -> str:
    whole, thousandths = divmod(abs(mtok), 1000)
    return f"{'-' if mtok < 0 else ''}{whole:,}.{thousandths:03d}"
