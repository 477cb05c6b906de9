"""What the documents show works, and what they point to is there.

A Python block whose fence says `python run` is executed; the blocks of one page share their names, as a
reader's session would. `<!-- run ... -->` holds lines that only the test needs. Each page runs in its own process.
A page with `pycon` blocks has its `>>>` lines run, and compared, beside a real worker for its block `# tasks.py`.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartWorker = Callable[[str], subprocess.Popen[str]]

ROOT = Path(__file__).resolve().parents[2]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_RUN = re.compile(r"^```python run\n(.*?)^```|^<!-- run\n(.*?)^-->", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"^```python\n(# tasks\.py\n.*?)^```", re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^```pycon\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def runnable(page: Path) -> str:
    """The page's program: its blocks at their own lines, so that a traceback names the right one."""
    text = page.read_text(encoding="utf-8")
    program = ""
    for match in _RUN.finditer(text):
        first_line = text.count("\n", 0, match.start()) + 1
        program += "\n" * (first_line - program.count("\n")) + (match[1] or match[2])
    return program


def session(page: Path) -> list[str]:
    """The page's `>>>` lines, block by block. They need a worker for the page's `tasks.py`."""
    return _SESSION.findall(page.read_text(encoding="utf-8"))


def name(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_snippets_run(page: Path, tmp_path: Path, run_python: RunPython) -> None:
    program = tmp_path / "snippets.py"
    program.write_text(runnable(page), encoding="utf-8")
    done = run_python("-W", "error", str(program))
    assert done.returncode == 0, done.stderr


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_in_the_index() -> None:
    """Save the decisions: the index points to their folder."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = (page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md"))
    missing = [page for page in pages if not page.startswith(("README", "adr/")) and f"]({page})" not in index]
    assert missing == []


@pytest.mark.parametrize("page", [page for page in PAGES if session(page)], ids=name)
def test_the_session_of(page: Path, tmp_path: Path, run_python: RunPython, start_worker: StartWorker) -> None:
    """A worker runs the block that calls itself `tasks.py`; then come the `>>>` lines of the page."""
    program = _PROGRAM.search(page.read_text(encoding="utf-8"))
    assert program is not None
    (tmp_path / "tasks.py").write_text(program[1], encoding="utf-8")
    (tmp_path / "session.txt").write_text("\n\n".join(session(page)), encoding="utf-8")
    start_worker("tasks")
    done = run_python("-m", "doctest", "-o", "ELLIPSIS", "session.txt")
    assert done.returncode == 0, done.stdout + (tmp_path / "worker.log").read_text()
