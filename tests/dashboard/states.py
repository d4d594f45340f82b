"""Rare states of a broker, and how the dashboard shows them.

Run by `run.py`, in the venv it makes, after `against_fake.py`.
"""

import unittest

import scenes
from cases import Case
from fake import Scene

REFUSED = "Failed to load resource"


class States(Case):
    expected = (REFUSED,)

    def test_a_token_is_required_kept_for_the_tab_and_can_be_forgotten(self):
        scene = scenes.busy()
        scene.token = "s3cret"
        page = self.open(scene, ready="dialog[open]")
        self.shown(page, "#state-text", "Token required")
        self.assertEqual(page.inaccessible(), [])
        page.picture("token")
        page.page.keyboard.press("Escape")
        self.assertTrue(page.page.is_visible("dialog"))
        page.page.fill("#token", "wrong")
        page.page.keyboard.press("Enter")
        self.shown(page, "#token-problem", "The broker refused this token.")
        page.page.fill("#token", "s3cret")
        page.page.click("dialog button")
        self.shown(page, "#state-text", "Ready")
        self.assertFalse(page.page.is_visible("dialog"))
        page.page.reload()
        self.shown(page, "#state-text", "Ready")
        self.shown(page, "#topics tbody", "orders.eu")
        page.page.click("#forget")
        page.page.wait_for_selector("dialog[open]")
        self.assertEqual(page.page.evaluate("sessionStorage.length"), 0)
        self.assertEqual(page.page.evaluate("localStorage.length"), 0)

    def test_a_broker_that_ended_is_reported_and_asked_less_and_less_often(self):
        page = self.open(scenes.busy())
        self.shown(page, "#topics tbody", "orders.eu")
        self.shown(page, ".tile-value", "k/s")
        self.broker.stop()
        self.shown(page, "#no-answer", "The broker does not answer. The numbers below are from")
        self.shown(page, "#state-text", "No answer")
        for seconds in (2, 4, 8, 16, 16):
            with page.page.expect_event("requestfailed"):
                page.page.click("#retry")
            self.shown(page, "#no-answer-text", "No connection. Trying again every ")
        self.shown(page, "#no-answer-text", f"every {seconds} s")
        self.assertIn("k/s", page.text(".tile-value"))
        self.assertEqual(page.inaccessible(), [])
        page.picture("no-answer")
        self.broker.start_again()
        page.page.click("#retry")
        self.shown(page, "#state-text", "Ready")
        self.assertFalse(page.page.is_visible("#no-answer"))

    def test_an_error_of_the_broker_is_shown(self):
        scene = scenes.busy()
        page = self.open(scene)
        self.shown(page, "#state-text", "Ready")
        scene.failure = (503, {"error": "cores 0 and 1 did not answer within 1 s"})
        self.shown(page, "#no-answer", "HTTP 503: cores 0 and 1 did not answer within 1 s")
        scene.failure = None
        page.page.click("#retry")
        self.shown(page, "#state-text", "Ready")

    def test_draining_is_shown_and_so_is_its_end(self):
        scene = scenes.busy()
        page = self.open(scene)
        self.shown(page, "#state-text", "Ready")
        scene.state = "draining"
        self.shown(page, "#state-text", "Draining")
        self.shown(page, "#notices", "The broker is draining.")
        page.picture("draining")
        self.broker.stop()
        self.shown(page, "#no-answer", "The broker was draining, and has ended.")
        self.broker.start_again()

    def test_a_restart_starts_new_rates_and_is_marked(self):
        scene = Scene(1)
        scene.cores[0].counters["published_messages"] = 5_000_000
        scene.on_step = lambda scene: scene.cores[0].count(published_messages=700)
        page = self.open(scene)
        page.poll(3)
        self.shown(page, ".tile-value", "700/s")
        with scene.lock:
            scene.restart()
        page.poll(1)
        self.assertIn(page.text(".tile-value"), ("–", "700/s"))
        page.poll(2)
        self.shown(page, ".tile-value", "700/s")
        self.assertEqual(page.page.locator("#rates-chart .chart-mark-text").count(), 1)
        labels = page.page.locator("#rates-chart .chart-y").all_text_contents()
        self.assertEqual(labels, ["0/s", "250/s", "500/s", "750/s", "1 k/s"])

    def test_a_counter_that_falls_gives_no_rate(self):
        scene = Scene(2)
        scene.on_step = lambda scene: scene.cores[0].count(published_messages=300)
        page = self.open(scene)
        page.poll(2)
        with scene.lock:
            scene.cores[0].counters["published_messages"] = 0
        page.poll(3)
        self.shown(page, ".tile-value", "300/s")
        lines = page.page.locator("#rates-chart path.line-published").get_attribute("d")
        self.assertNotIn("NaN", lines)
        self.assertNotRegex(page.text("#cores"), r"−\d|-\d")

    def test_a_refused_reload_is_shown_with_its_reason(self):
        scene = scenes.busy()
        scene.last_reload = {
            "number": 3,
            "unix_seconds": scene.now,
            "outcome": "refused",
            "applied": [],
            "needs_restart": [],
            "errors": ["blipmq.toml:7: `queues.topic_bytes` is 99 GiB, at most 64 GiB"],
        }
        page = self.open(scene)
        self.shown(page, "#notices", "was refused, nothing was changed. blipmq.toml:7")
        self.shown(page, "#configuration", "✕ refused, number 3")

    def test_256_cores_are_a_map_and_rows_and_silent_ones_are_named(self):
        page = self.open(scenes.many_cores())
        page.poll(3)
        self.shown(page, "#notices", "Cores 17, 200 do not answer.")
        self.assertEqual(page.page.locator("#heat span").count(), 256)
        self.assertEqual(page.page.locator("#heat span[data-silent]").count(), 2)
        self.assertEqual(page.page.locator("#cores tbody tr").count(), 256)
        page.page.get_by_role("button", name="Delivered by core").click()
        self.shown(page, "#rates-chart .legend", "250 others, mean")
        self.assertEqual(page.page.locator("#rates-chart .legend li").count(), 7)

    def test_a_paused_page_asks_nothing_but_lists_can_still_be_turned(self):
        page = self.open(scenes.busy())
        self.shown(page, "#topics .range", "1–10")
        page.page.click("#pause")
        self.shown(page, "#updated", "paused")
        page.page.click("#topics button[aria-label^='Next']")
        self.shown(page, "#topics .range", "11–20")
        with page.page.expect_request("**/api/v1/cores"):
            page.page.click("#pause")

    def test_a_hidden_tab_asks_nothing_until_it_is_visible(self):
        hide = """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        page = self.open(scenes.busy())
        page.page.clock.install()
        page.page.reload()
        page.poll(1)
        page.page.evaluate(hide, True)
        # Requests under way end; then the clock of the page advances by a minute.
        page.page.wait_for_load_state("networkidle")
        before = len(self.asked(""))
        page.page.clock.run_for(60_000)
        page.page.wait_for_load_state("networkidle")
        self.assertEqual(len(self.asked("")), before)
        page.page.evaluate(hide, False)
        with page.page.expect_response("**/api/v1/cores"):
            page.page.clock.run_for(1_000)


if __name__ == "__main__":
    unittest.main()
