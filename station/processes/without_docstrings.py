"""Modules are loaded without their docstrings: nobody reads them in a running station, and all processes hold them.

Python's own way, the option -OO, takes the assertions of the libraries with them, and needs bytecode of its own.
"""

import sys
from importlib import machinery
from opcode import opmap
from types import CodeType

from typing_extensions import override

# Later ones have other instructions and other constants: a function may return its first constant without loading it.
_KNOWN_BYTECODE = (3, 11)
# Set for functions and comprehensions, not for modules and classes (module inspect).
_CO_NEWLOCALS = 2
_LOAD_CONST, _STORE_NAME = opmap["LOAD_CONST"], opmap["STORE_NAME"]
# What the body of a class begins with, the docstring being the next.
_CLASS_NAMES = ("__name__", "__module__", "__qualname__", "__doc__")
# A class without any would be given one: a dataclass the list of its fields, a model that of its columns.
_LEFT_OUT = "Left out, see the source."


class _Loader(machinery.SourceFileLoader):
    @override
    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of a module as usual, from its bytecode if there is some, without docstrings."""
        code = super().get_code(fullname)
        return code and stripped(code)


def install() -> None:
    """Load every module from now on without its docstrings; with another Python than a station's they stay."""
    if sys.version_info[:2] != _KNOWN_BYTECODE:
        return
    details = (
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )
    sys.path_hooks.insert(0, machinery.FileFinder.path_hook(*details))
    sys.path_importer_cache.clear()


def stripped(code: CodeType) -> CodeType:
    """Return code that does the same, but leaves nothing with a docstring of its own."""
    changed: dict[int, object] = {}
    for index, value in enumerate(code.co_consts):
        if isinstance(value, CodeType) and (inner := stripped(value)) is not value:
            changed[index] = inner
    place = _place_of_docstring(code)
    if place is not None:
        changed[place] = _LEFT_OUT if code.co_names[: len(_CLASS_NAMES)] == _CLASS_NAMES else None
    if not changed:
        return code
    return code.replace(co_consts=tuple(changed.get(index, value) for index, value in enumerate(code.co_consts)))


def _place_of_docstring(code: CodeType) -> int | None:
    """Return which constant is the docstring and serves for nothing else, or None."""
    is_class = code.co_names[: len(_CLASS_NAMES)] == _CLASS_NAMES
    place = 1 if is_class else 0
    if len(code.co_consts) <= place or not isinstance(code.co_consts[place], str):
        return None
    _, *after = code.co_code.split(bytes((_LOAD_CONST, place)))
    if code.co_flags & _CO_NEWLOCALS:
        # Comprehensions have none, and a function may return the words of its docstring: both load the constant.
        return None if after else place
    if "__doc__" not in code.co_names or len(after) != 1:
        return None
    return place if after[0].startswith(bytes((_STORE_NAME, code.co_names.index("__doc__")))) else None
