"""Cells that a spreadsheet program must not calculate."""

import re

# A spreadsheet evaluates these, behind a semicolon, too, which many take for the end of a cell; the apostrophe that
# prevents it is removed again when the file is read.
_WOULD_CALCULATE = re.compile(r"(^|;)(?='*[=+\-@\t\r])")
_WAS_GUARDED = re.compile(r"(^|;)'(?='*[=+\-@\t\r])")


def guard(cell: str) -> str:
    """Return the cell as a text that is never a formula."""
    return _WOULD_CALCULATE.sub(r"\1'", cell)


def unguard(cell: str) -> str:
    """Return what `guard` was given."""
    return _WAS_GUARDED.sub(r"\1", cell)
