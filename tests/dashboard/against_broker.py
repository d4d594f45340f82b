"""The dashboard against a real broker: one started here with traffic, or a running one.

Run by `run.py --binary` or `run.py --url`.
"""

import json
import unittest
import urllib.request

import pages
from broker import HOSTILE, STALLED, Broker

# Set by `tests.py`.
BINARY = None
URL = None
TOKEN = "s3cret"


def setUpModule():
    global BROWSER
    BROWSER = pages.Browser()
    unittest.addModuleCleanup(BROWSER.close)


class Case(unittest.TestCase):
    def look(self, url, expected=(), **options):
        page = BROWSER.open(url, **options)
        self.addCleanup(page.close)
        self.addCleanup(lambda: self.assertEqual(page.wrong(expected), []))
        return page


class AnyBroker(Case):
    """Tests for every broker, with traffic or without."""

    @classmethod
    def setUpClass(cls):
        if URL:
            cls.url = URL.rstrip("/")
            return
        cls.broker = Broker(BINARY)
        cls.addClassCleanup(cls.broker.stop)
        cls.url = cls.broker.url
        cls.broker.load()
        cls.broker.stalled()

    def api(self, path):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)

    def test_the_page_shows_what_the_api_says(self):
        page = self.look(self.url)
        page.until_text(".tile-value", "/s")
        status = self.api("status")
        page.until_text("#state-text", "Ready")
        self.assertEqual(page.text("#version"), status["version"])
        self.assertEqual(page.text("#address"), status["addresses"]["blip"])
        process = page.text("#process")
        self.assertIn(status["server_id"], process)
        self.assertIn(f"Process {status['pid']} ", process)
        limits = page.texts("#limits li")
        self.assertEqual(len(limits), len(status["limits"]))
        for shown, limit in zip(limits, status["limits"]):
            self.assertIn(limit["key"], shown)
        page.until(f"document.querySelectorAll('#cores tbody tr').length === {len(status['cpus'])}")
        for name in ("subscriptions", "topics", "connections"):
            page.until(
                "(name) => document.querySelectorAll(`#${name} tbody tr, #${name} .list-empty`).length",
                name,
            )
        self.assertNotRegex(page.text("body"), r"NaN|undefined|Infinity|\[object")

    def test_every_way_to_sort_is_one_the_broker_knows(self):
        page = self.look(self.url)
        page.until_text(".tile-value", "/s")
        for table in ("subscriptions", "topics", "connections"):
            for button in page.page.locator(f"#{table} th button").all():
                if not button.is_visible():
                    continue
                with page.page.expect_response(f"**/api/v1/{table}?**") as answer:
                    button.click()
                self.assertEqual(answer.value.status, 200, answer.value.url)

    def test_it_fits_all_screens_and_axe_finds_nothing_serious(self):
        page = self.look(self.url)
        page.poll(10)
        for theme in ("light", "dark"):
            for size, viewport in (("desktop", pages.DESKTOP), ("phone", pages.PHONE)):
                with self.subTest(theme=theme, size=size):
                    page.page.set_viewport_size(viewport)
                    self.assertEqual(page.overflow(), [0, []])
                    page.picture(f"broker-{theme}-{size}")
                    page.picture(f"broker-{theme}-{size}-whole", whole=True)
                    self.assertEqual(page.inaccessible(), [])
            page.page.click("#theme")
        page.page.set_viewport_size(pages.NARROWEST)
        self.assertEqual(page.overflow(), [0, []])


class Loaded(Case):
    """A broker with traffic that this test makes."""

    @classmethod
    def setUpClass(cls):
        if not BINARY:
            raise unittest.SkipTest("makes its own broker: needs --binary")
        cls.broker = Broker(BINARY)
        cls.addClassCleanup(cls.broker.stop)
        cls.broker.load()
        cls.broker.stalled()

    def test_rates_move_and_losses_have_their_reasons(self):
        page = self.look(self.broker.url)
        for tile in (1, 2, 3):
            selector = f".tile:nth-child({tile}) .tile-value"
            page.until("(s) => /^[1-9].*\\/s$/.test(document.querySelector(s).textContent)", selector)
        page.until_text(".tile:nth-child(4) .tile-value", "s")
        page.until("document.querySelectorAll('#losses [data-mood=lost]').length >= 3")
        totals = self.broker.json("status")["totals"]
        for counter in ("dropped_oldest_messages", "dropped_new_messages", "conflated_messages"):
            self.assertGreater(totals[counter], 0, counter)

    def test_the_slowest_subscribers_are_those_that_stall(self):
        page = self.look(self.broker.url)
        page.until("document.querySelectorAll('#subscriptions tbody tr').length >= 7")
        rows = page.texts("#subscriptions tbody tr")
        for row in rows[: len(STALLED)]:
            self.assertTrue(row.startswith("orders.> "), row)
        self.assertEqual(page.page.locator("#subscriptions [data-mood=lost]").count(), len(STALLED))
        # The other policies make room again: for new messages, or by keeping one of each topic.
        [newest] = [row for row in rows if row.endswith("drops the newest")]
        self.assertIn("64 100 % full of 64 ", newest)
        together = " ".join(rows[: len(STALLED)])
        for text in ("oldest", "newest", "replaced by newer", " of 64 "):
            self.assertIn(text, together)
        for text in ("drops the oldest", "drops the newest", "keeps the latest"):
            self.assertIn(text, together)
        self.assertIn("group workers", " ".join(rows))

    def test_hostile_topics_are_text_and_busy_ones_are_first(self):
        page = self.look(self.broker.url)
        page.until("document.querySelectorAll('#topics tbody tr').length >= 6")
        names = page.texts("#topics .name")
        self.assertEqual(set(names[:3]), {"orders.eu", "orders.us", "prices.fx"})
        for hostile in HOSTILE:
            self.assertIn(hostile, names)
        self.assertEqual(page.page.locator("#topics :is(img, b)").count(), 0)


class Ending(Case):
    """A broker with a token that is stopped while the page is open."""

    def test_a_token_is_asked_for_and_draining_and_its_end_are_shown(self):
        if not BINARY:
            self.skipTest("makes its own broker: needs --binary")
        broker = Broker(BINARY, TOKEN)
        self.addCleanup(broker.stop)
        broker.load()
        page = self.look(broker.url, expected=("Failed to load resource",), ready="dialog[open]")
        page.page.fill("#token", TOKEN)
        page.page.keyboard.press("Enter")
        page.until_text("#state-text", "Ready")
        broker.stalled()
        # Stalled subscribers keep the broker draining until the drain timeout.
        broker.drain()
        page.until_text("#state-text", "Draining")
        page.until_text("#notices", "The broker is draining.")
        page.picture("broker-draining")
        broker.process.kill()
        page.until_text("#no-answer", "The broker was draining, and has ended.")


if __name__ == "__main__":
    unittest.main()
