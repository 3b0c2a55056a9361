"""What is run: the command line and the jobs behind it. May import all other rooms.

In a notebook: ``from pipelines import make_report``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.report import make_report, write_report

__all__ = ["make_report", "write_report"]


def __getattr__(name: str) -> Any:
    # Looked up when they are asked for: every command imports this package, and few of them need a report.
    if name in __all__:
        from pipelines import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
