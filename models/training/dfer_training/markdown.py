# SPDX-License-Identifier: MPL-2.0
"""What the card's tables are made of: numbers and rows as Markdown."""


def percent(x: float | None, digits: int = 1) -> str:
    """A share as percent; what was not measured is a dash."""
    return "-" if x is None else f"{100 * x:.{digits}f}"


def table(head: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


def made_by(section: dict) -> str:
    """The command that measured a section, as the line below its table."""
    return f"\n\nMade by `{section['command']}`."
