"""The table of docs/errors.md, made of the exception classes; `test_errors` keeps it current.

python tests/support/errors_page.py     writes it anew
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError, tree

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
BEGIN = "| class "


def table() -> str:
    """A row a class, indented below the one it derives from."""
    lines = [
        f"{BEGIN}| reason | what happened | in a report | tried in later rounds | exit code |\n"
        "|---|---|---|---|---|---|\n"
    ]
    for cls in tree():
        indent = "· " * (len(cls.__mro__) - len(HarnessError.__mro__))
        happened = (cls.__doc__ or "").partition("\n")[0]
        lines.append(
            f"| {indent}`{cls.__name__}` | `{cls.reason}` | {happened} | {cls.words} "
            f"| {'yes' if cls.retried else 'no'} | {cls.exit_code} |\n"
        )
    return "".join(lines)


if __name__ == "__main__":
    introduction = PAGE.read_text("utf-8").partition(BEGIN)[0]
    PAGE.write_text(introduction + table(), "utf-8")
