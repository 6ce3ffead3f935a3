"""What a notebook shows of an object: the lines that its `repr` has, laid out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("nitido"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


class ShownInNotebook:
    """An object whose `repr` is a heading, and below it one line for each thing to know."""

    def _repr_html_(self) -> str:
        """Return the lines as HTML, every character escaped."""
        heading, *lines = repr(self).splitlines()
        template = _environment().get_template("notebook.html")
        return template.render(heading=heading, lines=[line.strip() for line in lines])
