"""Long texts of the report from templates, since prose is easier to read there than in strings."""

from __future__ import annotations

from functools import cache

import jinja2


@cache
def _environment() -> jinja2.Environment:
    """Plain text, not HTML: what sets it escapes it."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def paragraphs(template: str, **values: object) -> list[str]:
    """What `templates/<template>` says with these values: empty lines part its paragraphs."""
    said = _environment().get_template(template).render(values)
    return [" ".join(part.split()) for part in said.split("\n\n") if part.strip()]
