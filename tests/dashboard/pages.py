"""A page in a headless Chromium, and every mistake that it makes while it is open.

Used by `cases.py` and `against_broker.py`.
"""

import time
from pathlib import Path
from urllib.parse import urlsplit

import run
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError, sync_playwright

PICTURES = Path(__file__).resolve().parents[2] / "target/dashboard"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROWEST = {"width": 360, "height": 740}
# Milliseconds that a test waits for a condition, on a busy machine.
PATIENCE_MS = 30_000

VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
        window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
"""


class Browser:
    """One Chromium for many tests."""

    def __init__(self):
        self.playwright = sync_playwright().start()
        # Tests run as root in containers, where Chromium has no sandbox; pages are our own.
        self.browser = self.playwright.chromium.launch(
            executable_path=run.chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )

    def close(self):
        self.browser.close()
        self.playwright.stop()

    def open(self, url, **options):
        return Page(self.browser, url, **options)


class Page:
    """The dashboard at `url`. `wrong()` lists what no page may do."""

    def __init__(self, browser, url, viewport=DESKTOP, scheme="light", ready="#state[data-state]"):
        self.context = browser.new_context(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", locale="en-GB"
        )
        self.context.add_init_script(VIOLATIONS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        self.problems = []
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("request", self.asked)
        self.page.goto(url)
        self.page.wait_for_selector(ready)

    def close(self):
        self.context.close()

    def heard(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def asked(self, request):
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.problems.append(f"another origin was asked: {request.url}")

    def wrong(self, expected=()):
        """All problems but those with one of the texts of `expected`."""
        found = [*self.problems, *self.page.evaluate("window.violations")]
        return [one for one in found if not any(text in one for text in expected)]

    def text(self, selector):
        """The visible text of the element, in one line."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def texts(self, selector):
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def until(self, script, argument=None):
        """Waits until `script` is true in the page. Not by wait_for_function, which evaluates text in the
        page: the policy of the page forbids that."""
        deadline = time.monotonic() + PATIENCE_MS / 1_000
        while not self.page.evaluate(script, argument):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page did not become so: {script} {argument}")
            self.page.wait_for_timeout(50)

    def until_text(self, selector, text):
        try:
            self.until(
                """([selector, text]) => document.querySelector(selector)?.innerText
                    .replace(/\\s+/g, " ").includes(text)""",
                [selector, text],
            )
        except Exception as why:
            found = self.page.locator(selector).first.text_content()
            raise AssertionError(f"{selector} says {found!r}, and not {text!r}") from why

    def overflow(self):
        """Pixels by which the page is wider than the screen, and the elements that are too wide."""
        return self.page.evaluate(
            """() => {
                const width = document.documentElement.clientWidth;
                const wide = document.documentElement.scrollWidth - width;
                const out = wide <= 0 ? [] : [...document.querySelectorAll("body *")]
                    .filter((one) => one.getBoundingClientRect().right > width + 0.5)
                    .map((one) => `${one.tagName}.${one.getAttribute("class")}#${one.id}`);
                return [wide, out.slice(0, 8)];
            }"""
        )

    def inaccessible(self, *rules):
        """Serious and critical findings of axe, as text; only of `rules` if some are given."""
        options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else None
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: "
            + "; ".join(f"{node['target']} {node['failureSummary']}" for node in one["nodes"][:4])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def picture(self, name, whole=False):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)

    def poll(self, times):
        """Makes the page ask for its numbers this many times, without waiting a second each."""
        for _ in range(times):
            with self.page.expect_response("**/api/v1/cores"):
                self.page.evaluate("document.getElementById('retry').click()")
