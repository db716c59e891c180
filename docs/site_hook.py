"""For mkdocs: what pages link to outside docs/, the site has below project/."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
INSIDE, BESIDE = "docs", "project"
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def real(src_uri: str) -> str:
    """Where a page of the site lies in the project, from its root."""
    if src_uri.startswith(f"{BESIDE}/"):
        return src_uri.removeprefix(f"{BESIDE}/")
    return f"{INSIDE}/{src_uri}"


def site(path: str) -> str:
    """Where a file of the project lies in the site."""
    if path.startswith(f"{INSIDE}/"):
        return path.removeprefix(f"{INSIDE}/")
    return f"{BESIDE}/{path}"


def linked(markdown: str, src_uri: str) -> list[str]:
    """The project's files that a page links to outside docs/, from the root."""
    folder = posixpath.dirname(real(src_uri))
    targets = (m[2] for m in LINK.finditer(without_code(markdown)) if "://" not in m[2])
    paths = (posixpath.normpath(posixpath.join(folder, target)) for target in targets)
    return [path for path in paths if not path.startswith(f"{INSIDE}/")]


def without_code(markdown: str) -> str:
    """The text without its fenced blocks, where brackets are no links."""
    return re.sub(r"^( *)(```+).*?^\1\2 *$", "", markdown, flags=re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add what is linked to, and what that links to."""
    left = [(f.src_uri, Path(f.abs_src_path).read_text("utf-8")) for f in files
            if f.src_uri.endswith(".md")]  # fmt: skip
    while left:
        src_uri, text = left.pop()
        for path in linked(text, src_uri):
            source, uri = ROOT / path, site(path)
            if source.is_dir() or files.get_file_from_path(uri) is not None:
                continue
            if not source.is_file():
                continue  # mkdocs warns of it, and so fails
            added = File.generated(config, uri, abs_src_path=str(source))
            files.append(added)
            if uri.endswith(".md"):
                left.append((uri, source.read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at the copies; a folder has none and is named instead."""
    here = page.file.src_uri
    folder = posixpath.dirname(real(here))

    def turn(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if (ROOT / path).is_dir():
            return f"{text} (`{path}/`)"
        return f"[{text}]({posixpath.relpath(site(path), posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(turn, markdown)
