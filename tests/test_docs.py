"""What the documentation says that there is, is there."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for folder in (".", "docs", "docs/decisions", "bench", "deploy") for page in ROOT.glob(f"{folder}/*.md")
)


def test_the_map_has_every_module_once_and_nothing_else():
    named = re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / "map.md").read_text("utf-8"), re.M)
    named = [one for one in named if one.endswith((".py", "/"))]
    source = ROOT / "src" / "windsock"
    modules = [str(file.relative_to(source)) for file in source.rglob("*.py") if file.name != "__init__.py"]
    covers = {
        one: {name for name in modules if fnmatch(name, f"{one}*" if one.endswith("/") else one)} for one in named
    }
    assert [one for one, times in Counter(named).items() if times > 1] == []
    assert [one for one in named if not list(source.glob(one))] == []
    assert set(modules) - set().union(*covers.values()) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_documentation_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, section = link.partition("#")
        target = page.parent / path if path else page
        assert "://" in link or target.exists(), link
        assert not section or "://" in link or section in sections(target), link


def sections(page: Path) -> set[str]:
    """The names by which links know the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
