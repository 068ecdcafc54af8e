"""The documentation holds: it builds, opens from a disk, names everything there is, and its commands are real ones."""

import html.parser
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import appliance
from appliance.base import errors
from appliance.cli.command import DECLARED
from appliance.cli.main import NOUNS
from appliance.config.model import SiteFile
from appliance.config.site import setting_rows
from appliance.ingestion.reasons import REASONS
from appliance.observability import metrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "reference" / "generated"
TARGETS = (
    "help", "demo", "test", "lint", "fix", "unit", "integration", "bench", "docs", "offline-wheels", "proofs", "clean",
)  # fmt: skip
# In two parts, so that this file does not find itself.
REGISTRIES = [
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("proxy.golang", "org"),
        ("crates", "io"), ("repo1.maven", "org"), ("deb.debian", "org"), ("security.debian", "org"),
    )
]  # fmt: skip
MACHINE_PATHS = ["/" + "work/", "/" + "tmp/docs"]
FENCED = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (appliance .*)$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:\.venv/bin/)?\bappliance ([a-z][^|;)#>\n]*)")

for each in NOUNS:
    importlib.import_module(f"appliance.cli.{each}")
for each in pkgutil.walk_packages(appliance.__path__, "appliance."):
    if each.name.rpartition(".")[2].endswith("codes"):
        importlib.import_module(each.name)


@pytest.fixture(scope="module", autouse=True)
def generated():
    done = subprocess.run([sys.executable, DOCS / "generate.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(generated, tmp_path_factory):
    """The site as `make docs` builds it, warnings being errors."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", target],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def sources():
    """Every page that people read: Markdown under version control and the generated pages."""
    return sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "offline_wheels").glob("*.md")])


class Page(html.parser.HTMLParser):
    """What a page loads, what it links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        for name in ("src", "srcset", "data", "poster", "action"):
            if given.get(name) and tag != "meta":
                self.loads.append(given[name])
        if tag == "link" and given.get("href"):
            self.loads.append(given["href"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def pages(built):
    """All pages but the one that only a web server shows."""
    return {path: Page(path.read_text()) for path in sorted(built.rglob("*.html")) if path.name != "404.html"}


def test_no_built_page_asks_anything_from_outside(built):
    outside = [
        (path.name, where)
        for path, page in pages(built).items()
        for where in page.loads
        if urlsplit(where).scheme not in ("", "data") or where.startswith("//")
    ]
    for path in built.rglob("*.css"):
        named = re.findall(r"(?:url\(|@import\s)\s*['\"]?([^'\")\s;]+)", path.read_text())
        outside += [(path.name, where) for where in named if re.match(r"(https?:)?//", where)]
    for path in built.rglob("*.js"):
        outside += [(path.name, "fetch") for _ in re.findall(r"fetch\(\s*['\"`]https?:", path.read_text())]
    assert outside == []


def test_every_page_opens_from_a_disk(built):
    """Everything that a page loads or links to is a file of the site, and the anchor is in it."""
    found = pages(built)
    assert len(found) > 25
    missing = []
    for path, page in found.items():
        for where in (*page.loads, *page.links):
            split = urlsplit(where)
            if split.scheme:
                continue
            target = (path.parent / unquote(split.path)).resolve() if split.path else path
            anchors = found[target].anchors if target in found else {split.fragment}
            if where.startswith("/") or not target.is_file() or (split.fragment and split.fragment not in anchors):
                missing.append((path.name, where))
    assert missing == []


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} == listed


def test_every_link_between_sources_resolves():
    """As a reader of the source tree follows it, README included."""
    broken = []
    for path in sources():
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for where in LINK.findall(text):
            split = urlsplit(where)
            if not split.scheme and split.path and not (path.parent / unquote(split.path)).exists():
                broken.append((path.relative_to(ROOT).as_posix(), where))
    assert broken == []


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_every_command_is_documented(name):
    declared = DECLARED[name]
    title = f"appliance {declared.noun}" + ("" if declared.verb == declared.noun else f" {declared.verb}")
    text = (GENERATED / "cli.md").read_text()
    assert f"\n### {title}\n" in text
    if declared.changes and declared.needs_site:
        assert f"`{declared.changes}`" in text


def test_every_setting_error_reason_and_metric_is_documented():
    wanted = {
        "settings.md": {f"`{row.key}`" for row in setting_rows(SiteFile())},
        "errors.md": {f"## {code.id}: {code.title}" for code in errors.declared()},
        "reasons.md": {f"`{reason.code}`" for reason in REASONS},
        "metrics.md": {f"`{metric.name}`" for metric in metrics.DECLARED},
    }
    for page, names in wanted.items():
        text = (GENERATED / page).read_text()
        assert len(names) > 10
        assert {name for name in names if name not in text} == set(), page


def alert_codes():
    """The codes of all alerts that the product raises, from its source."""
    found = set()
    for path in sorted((ROOT / "appliance").rglob("*.py")):
        found |= set(re.findall(r"\bAlert\(\s*code=\"([A-Z_]+)\"", path.read_text()))
    return sorted(found)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {"FORMAT", "FIRMWARE", "COUNT", "SPOOL_REFUSED"} <= set(alert_codes())
    assert {path.stem for path in (DOCS / "runbooks").glob("*.md")} == {code.lower() for code in alert_codes()}


@pytest.mark.parametrize("code", alert_codes())
def test_a_runbook_says_what_it_means_and_what_to_do(code):
    text = (DOCS / "runbooks" / f"{code.lower()}.md").read_text()
    assert text.startswith(f"# {code}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Meaning", "Impact", "Check", "Fix"]
    assert f"runbooks/{code.lower()}.md" in (DOCS / "index.md").read_text()


def typed():
    """(page, words) of every command of the product in a block that people copy."""
    for path in sources():
        if GENERATED in path.parents:
            continue
        text = path.read_text()
        blocks = [*FENCED.findall(text), *INDENTED.findall(text)]
        for block in blocks:
            for command in COMMAND.findall(block.replace("\\\n", " ")):
                yield path.relative_to(ROOT).as_posix(), command.strip()


def test_commands_in_the_documentation_are_accepted_by_the_command_line():
    seen, refused = set(), []
    for page, text in typed():
        words = shlex.split(text)
        command = importlib.import_module(f"appliance.cli.{words[0]}").group if words[0] in NOUNS else None
        rest = words[1:]
        if isinstance(command, click.Group):
            command, rest = command.commands.get(rest[0] if rest else ""), rest[1:]
        if command is None:
            refused.append((page, text, "no such command"))
            continue
        try:
            command.make_context(words[0], list(rest))
        except click.ClickException as error:
            refused.append((page, text, error.format_message()))
        seen.add(text)
    assert refused == []
    assert len(seen) > 40


def test_commands_in_error_texts_exist():
    wrong = []
    for code in errors.declared():
        for noun, verb in re.findall(r"\bappliance ([a-z]+) ([a-z-]+)", f"{code.meaning} {code.action}"):
            group = importlib.import_module(f"appliance.cli.{noun}").group if noun in NOUNS else None
            prose = verb in ("and", "commands")
            if isinstance(group, click.Group) and verb not in group.commands and not prose:
                wrong.append((code.id, f"{noun} {verb}"))
    assert wrong == []


def test_commands_that_start_make_are_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    wanted = set()
    for path in sources():
        text = path.read_text()
        lines = [line for block in FENCED.findall(text) for line in block.splitlines() if line.startswith("make ")]
        lines += re.findall(r"`(make [^`]*)`", text)
        wanted |= {word for line in lines for word in line.split()[1:] if re.fullmatch(r"[a-z][a-z-]*", word)}
    assert {"demo", "test"} <= wanted
    assert wanted - targets == set()


def test_make_help_lists_every_promised_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert set(TARGETS) <= set(listed)
    assert subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout == done.stdout


def test_the_readme_fits_and_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 100
    assert "make demo\nmake test\n" in text
    assert "verified offline" in text


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_plain_words(path):
    """Nothing is easy to the one who reads the page because it was not."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    assert re.findall(r"\b(?:easy|easily|just|simply|obviously)\b", text, re.IGNORECASE) == []


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_link_is_tracked():
    """A link of a developer's machine would replace what a clone has at that place, environments included."""
    assert [path.relative_to(ROOT).as_posix() for path in tracked() if path.is_symlink()] == []


def test_no_registry_and_no_path_of_a_machine_in_any_tracked_file():
    found = []
    for path in tracked():
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" in data[:8192]:
            continue
        text = data.decode("utf-8", "replace")
        found += [(path.relative_to(ROOT).as_posix(), name) for name in (*REGISTRIES, *MACHINE_PATHS) if name in text]
    assert found == []
