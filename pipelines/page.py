"""What every page of ours is made of: templates, scripts that a policy names by hash, data that cannot become markup.

A page is one HTML file that loads nothing. Its content security policy allows the scripts that stand in it, by hash, and no
connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page_environment() -> Environment:
    """Return the templates' environment: what is filled in is escaped, and a name that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    return environment


def template_text(name: str) -> str:
    """Return a style sheet or script of the package."""
    return (resources.files("pipelines") / "templates" / name).read_text(encoding="utf-8").strip()


def inline_style(name: str) -> Markup:
    """Return a style sheet of the package as markup."""
    from markupsafe import Markup

    return Markup(template_text(name))  # noqa: S704 - the package's own


def inline_script(source: str) -> Markup:
    """Return JavaScript that neither ends its element nor opens a comment state; both only occur in strings."""
    from markupsafe import Markup

    return Markup(  # noqa: S704 - the package's own and its libraries'
        source.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("\r\n", "\n")
    )


def script_hash(script: str) -> str:
    """Return what a content security policy calls a script: the SHA-256 of its text in base 64."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def inline_json(value: Any) -> Markup:
    """Return compact JSON that no HTML parser takes for markup and no script parser for a line end.

    Raises:
        ValueError: on numbers that JSON does not have.
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - made safe above


def web_link(url: object) -> str | None:
    """Return an address that a page may link to, http and https alone; None for anything else."""
    return url if isinstance(url, str) and url.lower().startswith(("http://", "https://")) else None
