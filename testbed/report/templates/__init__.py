"""The pages' text: HTML with jinja2, and the style and script that go into it."""

from __future__ import annotations

import jinja2
from markupsafe import Markup


def render(name: str, **values: object) -> str:
    """A page from its template.

    What comes from a run is escaped; style and script of our own are not. ``data`` is
    JSON, and made safe to stand in a script element.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("testbed.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["script_data"] = _script_data
    environment.filters["breakable"] = _breakable
    return environment.get_template(name).render(values)


def _breakable(text: str) -> Markup:
    """Text that breaks after its commas, where it has to."""
    return Markup(",<wbr>").join(text.split(","))


def _script_data(text: str) -> Markup:
    """JSON that no browser can take for the end of its script element.

    Source: HTML, "restrictions for contents of script elements"
    """
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - made safe here
