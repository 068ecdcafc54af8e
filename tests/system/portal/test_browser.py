"""The portal as people meet it: started by the command line, in Debian's browser, with JavaScript off.

Pages are looked at in light and dark, at 1280 and 320 px; the pictures stay in the test's folder.
"""

import json
import socket
import urllib.error
import urllib.request

import pytest

from appliance.cli.main import run
from tests.portal_site import make_site
from tests.ports import free_port

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
PAGES = {
    "home": "/",
    "data": "/data",
    "table": "/data?table=raw.records",
    "models": "/models",
    "model": "/models/thermal/1",
    "predictions": "/predictions",
    "prediction": f"/predictions/pr-{117:032x}",
    "trust": "/trust",
    "verdict": "/trust?id=thermal%2F1",
    "not-found": "/nothing-here",
}
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def portal(tmp_path_factory):
    """A running portal: its site and its address."""
    port = free_port()
    site = make_site(tmp_path_factory.mktemp("browser") / "site", port=port)
    assert run(["portal", "start", "--site", str(site.folder)]) == 0
    yield site, f"http://127.0.0.1:{port}"
    assert run(["portal", "stop", "--site", str(site.folder)]) == 0


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


def test_the_command_line_starts_finds_and_stops_it(tmp_path, capsys):
    site = str(tmp_path / "site")
    port = free_port()
    assert run(["site", "init", "--set", f"portal.port={port}", "--site", site]) == 0
    capsys.readouterr()

    def told(*words):
        assert run([*words, "--site", site, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert told("portal", "status") == {"running": False}
    first = told("portal", "start")
    try:
        assert told("portal", "start")["pid"] == first["pid"], "a second start changes nothing"
        assert told("portal", "status")["url"] == f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(first["url"]) as answer:
            assert answer.status == 200
            assert "server" not in answer.headers
        request = urllib.request.Request(first["url"], headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request)
        assert told("serve", "stop")["stopped"] == [], "the gateway's stop leaves the portal alone"
        assert told("portal", "status")["running"]
    finally:
        assert told("portal", "stop") == {"stopped": True}
    assert told("portal", "status") == {"running": False}
    actions = {each["action"] for each in told("audit", "list")["records"]}
    assert {"portal.start", "portal.stop"} <= actions


def test_a_taken_port_is_named(tmp_path, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site = str(tmp_path / "site")
        assert run(["site", "init", "--set", f"portal.port={port}", "--site", site]) == 0
        assert run(["portal", "start", "--site", site]) == 1
    assert f"port {port} is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_every_page_without_javascript(portal, browser, width, scheme, tmp_path):
    _, address = portal
    context = browser.new_context(
        java_script_enabled=False, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    for name, path in PAGES.items():
        answer = page.goto(address + path)
        assert answer.status == (404 if name == "not-found" else 200), name
        assert page.locator("h1").is_visible()
        page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
    context.close()
    assert [url for url in asked if not url.startswith(f"{address}/")] == []
    assert [each for each in complaints if "404 (Not Found)" not in each] == []
    assert len(list(tmp_path.glob("*.png"))) == len(PAGES)


@pytest.mark.parametrize("forced", ["none", "active"])
@pytest.mark.parametrize("size", [(320, 100), (640, 200), (1280, 100)], ids=lambda size: f"{size[0]}px-{size[1]}%")
def test_nothing_is_wider_than_the_window(portal, browser, size, forced):
    """Also with text at 200 %; wide tables scroll inside their own region, which the keyboard reaches."""
    width, percent = size
    _, address = portal
    context = browser.new_context(viewport={"width": width, "height": 800}, forced_colors=forced)
    page = context.new_page()
    session = context.new_cdp_session(page)
    for name, path in PAGES.items():
        page.goto(address + path)
        # The inspector's own sheet: what a reader's browser settings do, without weakening the page's policy.
        session.send("DOM.enable")
        session.send("CSS.enable")
        frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        sheet = session.send("CSS.createStyleSheet", {"frameId": frame})["styleSheetId"]
        session.send("CSS.setStyleSheetText", {"styleSheetId": sheet, "text": f"html{{font-size:{percent}%}}"})
        wanted = f"{16 * percent / 100:g}px"
        assert page.evaluate("() => getComputedStyle(document.documentElement).fontSize") == wanted
        inner, scroll = page.evaluate("() => [window.innerWidth, document.documentElement.scrollWidth]")
        assert scroll <= inner, f"{name} is {scroll} px wide in a window of {inner} px"
        out = page.evaluate(
            "() => [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth"
            " && !(e.tabIndex === 0 && e.getAttribute('aria-label'))).length"
        )
        assert out == 0
    context.close()


def test_the_keyboard_reaches_the_content_first(portal, browser):
    _, address = portal
    page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    assert page.evaluate("() => document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    page.close()


def test_the_policy_stops_what_a_page_must_never_do(portal, browser):
    """No page breaks its policy by itself; a script and an inline style that are put in do, and have no effect."""
    _, address = portal
    context = browser.new_context()
    context.add_init_script(
        "window.broken = []; document.addEventListener('securitypolicyviolation',"
        " event => window.broken.push(event.effectiveDirective))"
    )
    page = context.new_page()
    for path in PAGES.values():
        page.goto(address + path)
        assert page.evaluate("() => window.broken") == []
    refused = page.evaluate(
        """() => { try { document.body.innerHTML = '<b>x</b>'; return 'done' } catch (error) { return error.name } }"""
    )
    assert refused == "TypeError"
    page.evaluate("() => document.querySelector('h1').setAttribute('style', 'position: fixed')")
    assert page.evaluate("() => getComputedStyle(document.querySelector('h1')).position") == "static"
    page.wait_for_timeout(100)
    assert "style-src-attr" in page.evaluate("() => window.broken")
    context.close()


def test_a_form_works_without_javascript(portal, browser):
    _, address = portal
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/predictions")
    page.get_by_label("Entity").fill("tx-3")
    page.get_by_label("Arm").select_option("live")
    page.get_by_role("button", name="Filter predictions").click()
    assert page.url == f"{address}/predictions?entity=tx-3&arm=live"
    page.get_by_role("link", name="Prediction pr-").first.click()
    page.get_by_role("link", name="Why trust this prediction").click()
    assert "Verified" in page.locator("h1").inner_text() or "NOT VERIFIED" in page.locator("h1").inner_text()
    page.get_by_role("link", name="Trust", exact=True).first.click()
    page.get_by_label("Prediction id, model").fill("thermal/1")
    page.get_by_role("button", name="Verify").click()
    assert "thermal/1" in page.locator("h1").inner_text()
    assert "Verified" in page.locator("h1").inner_text()
    context.close()
