"""HTML by Jinja2 templates, every value escaped; pages of one file that load nothing.

A page's content security policy lets only its own style and script run, and fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nitido.report import formatting
from nitido.version import __version__


@cache
def environment() -> Environment:
    """Return the templates of this package, with its number formats as filters."""
    made = Environment(
        loader=PackageLoader("nitido.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        name: getattr(formatting, name) for name in ("amount", "minus", "number", "places")
    }
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # and in the order given
    return made


def one_file_page(template: str, *, style: str, script: str, **content: Any) -> str:
    """Return a page that needs no other file and no network.

    Args:
        template: name of a file in `templates` that extends `page.html`.
        style: name of a file in `assets`, which stands inside the page.
        script: likewise.
        content: what the template names.
    """
    inside = {"style": _asset(style), "script": _asset(script)}
    policy = "; ".join(
        [
            "default-src 'none'",
            *(f"{kind}-src 'sha256-{_digest(text)}'" for kind, text in inside.items()),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    ours = {kind: Markup(text) for kind, text in inside.items()}
    return (
        environment()
        .get_template(template)
        .render(policy=policy, version=__version__, **ours, **content)
    )


def _asset(name: str) -> str:
    return (resources.files("nitido.report") / "assets" / name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
