"""The dashboard against a fake broker: values, lists, looks.

Run by `run.py`, in the venv it makes; alone: target/dashboard/venv/bin/python -m unittest
discover --start-directory tests/dashboard --pattern against_fake.py
"""

import re
import unittest

import pages
import scenes
from cases import Case
from fake import FILES, Scene

SIZES = [(360, 740), (390, 844), (768, 1024), (1024, 768), (1440, 900)]
# All three lists have rows, or a text that they have none.
LISTED = "document.querySelectorAll('.list-empty:not([hidden]), .list tbody tr').length >= 3"


class Values(Case):
    def test_the_page_shows_the_answers_of_the_api(self):
        page = self.open(scenes.busy())
        self.shown(page, "#state-text", "Ready")
        self.assertEqual(page.text("#version"), "0.1.0")
        self.assertEqual(page.text("#address"), "127.0.0.1:7878")
        limits = page.texts("#limits li")
        self.assertRegex(limits[0], "Connections 48 of 10,000 server.max_connections <1 %")
        self.assertRegex(limits[1], r"1.56 GiB of 2 GiB.*getting full, 78 %")
        self.assertRegex(limits[3], r"960,000 of 1,048,576.*nearly used up, 92 %")
        process = page.text("#process")
        for text in ("9F3A5C7712D0E84B", "4711", "CPU 0–3, 8 shards", "61.4 MiB", "127.0.0.1:4222"):
            self.assertIn(text, process)
        configuration = page.text("#configuration")
        for text in ("/etc/blipmq/blipmq.toml", "✓ applied, number 2", "queues.overflow_policy"):
            self.assertIn(text, configuration)
        self.assertIn("need a restart: server.bind_addr", page.text("#notices"))
        page.until("document.querySelectorAll('#connections tbody tr').length === 10")
        self.assertEqual(
            page.texts("#subscriptions tbody tr")[0],
            "orders.> 10.20.0.0:50000 · blip · connection 0-0-3, subscription 0 · core 0 "
            "90,421 90,000 oldest · 421 expired 11.8 s 2,007 98 % full of 2,048 "
            "37.6 MiB 59 % of 64 MiB 3,337,509 drops the oldest",
        )
        self.assertIn("blocks 3 topics now", page.text("#subscriptions tbody"))
        self.assertIn("publishers blocked", page.texts("#topics tbody tr")[3])
        self.assertIn("blocked by a slow subscriber", page.text("#connections tbody"))

    def test_rates_are_differences_over_the_time_between_two_answers(self):
        scene = Scene(2, step_seconds=2.0)
        # A broker that has run for long: its earlier work is no rate.
        for core in scene.cores:
            core.counters = dict.fromkeys(core.counters, 1_000_000)
            core.latency(1.0, 5_000)

        def step(scene):
            for core, share in zip(scene.cores, (1, 3)):
                core.count(published_messages=500 * share, published_bytes=64_000 * share)
                core.count(delivered_messages=2_000 * share, dropped_oldest_messages=6 * share)
                core.count(expired_in_queue_messages=2 * share, flushed_bytes=2_048 * share)
                core.count(turns=100 * share, mesh_letters_sent=10 * share)
                core.asleep_seconds += 2.0 - 0.5 * share
                core.send_messages["counts"][4] += 50 * share
                core.send_messages["sum"] += 600 * share
                core.enter_sends["counts"][2] += 10 * share
                core.enter_sends["sum"] += 35 * share
                core.latency(9e-5, 97)
                core.latency(3e-3, 3)

        scene.on_step = step
        page = self.open(scene)
        self.shown(page, ".tile:nth-child(1) .tile-value", "1 k/s")
        page.poll(3)
        self.assertEqual(page.texts(".tile-value")[:3], ["1 k/s", "4 k/s", "16/s"])
        self.assertEqual(page.texts(".tile-below")[:2], ["125 KiB/s", "4 KiB/s · fan-out 4"])
        self.assertEqual(page.texts(".tile-value")[4], "50 %")
        self.assertEqual(page.texts(".tile-below")[4], "busiest is core 1, 75 %")
        rows = page.texts("#cores tbody tr")
        self.assertEqual(rows[0], "0 CPU 0 25 % 250/s 1 k/s 4/s 12 3.50 5/s 0 0 0")
        self.assertEqual(rows[1], "1 CPU 1 75 % 750/s 3 k/s 12/s 12 3.50 15/s 0 0 0")
        losses = page.texts("#losses li")
        self.assertTrue(losses[0].startswith("Queue full, oldest dropped 12/s 2,0"), losses[0])
        expired = [loss for loss in losses if loss.startswith("Expired in a queue")]
        self.assertTrue(expired[0].startswith("Expired in a queue 4/s 2,0"), expired)
        trends = page.text("#trends")
        for text in ("Sends per system call 3.50", "Messages per send 12", "Turns of the loops 200/s"):
            self.assertIn(text, trends)
        # Bounds are steps of 2^(1/4) from 1 µs: 90 µs is below 90.5 µs, 3 ms below 3.44 ms.
        self.assertEqual(page.texts(".tile-value")[3], "3.44 ms")
        legend = page.texts("#latency-chart .legend b")
        self.assertEqual(legend, ["3.44 ms", "3.44 ms", "90.5 µs", "90.5 µs"])

    def test_an_empty_broker_shows_empty_lists_and_no_nonsense(self):
        page = self.open(scenes.empty())
        self.shown(page, ".tile-value", "0/s")
        for name, text in (
            ("subscriptions", "No subscriptions yet"),
            ("topics", "No topics yet"),
            ("connections", "No connections now"),
        ):
            self.shown(page, f"#{name} .list-empty", text)
            self.assertFalse(page.page.is_visible(f"#{name} .pager"))
        self.shown(page, "#latency-chart .chart-empty", "No messages were sent")
        self.assertNotRegex(page.text("body"), r"NaN|undefined|null|Infinity|\[object")

    def test_numbers_are_written_for_people(self):
        page = self.open(scenes.empty())
        for call, wanted in (
            ("si(0)", "0"),
            ("si(999.4)", "999"),
            ("si(999.6)", "1 k"),
            ("si(12345)", "12.3 k"),
            ("si(0.004)", "<0.01"),
            ("si(null)", "–"),
            ("si(NaN)", "–"),
            ("rate(1234567)", "1.23 M/s"),
            ("count(1234567)", "1,234,567"),
            ("count(12345678)", "12.3 M"),
            ("bytes(1023)", "1023 B"),
            ("bytes(1024)", "1 KiB"),
            ("bytes(1600)", "1.56 KiB"),
            ("bytes(3 * 2 ** 40)", "3 TiB"),
            ("seconds(0)", "0 s"),
            ("seconds(0.0000123)", "12.3 µs"),
            ("seconds(0.0009996)", "1 ms"),
            ("seconds(0.25)", "250 ms"),
            ("seconds(59.9)", "59.9 s"),
            ("seconds(61)", "1 min 1 s"),
            ("duration(3661)", "1 h 1 min"),
            ("duration(100000)", "1 d 3 h"),
            ("wholePercent(0.001)", "<1 %"),
            ("percent(0.1234)", "12.3 %"),
        ):
            with self.subTest(call):
                script = f"async () => {{ const m = await import('/formats.js'); return m.{call}; }}"
                self.assertEqual(page.page.evaluate(script), wanted)

    def test_percentiles_are_bounds_of_the_bucket_that_holds_the_rank(self):
        page = self.open(scenes.empty())
        script = """async ([counts, share]) => {
            const { percentile } = await import("/samples.js");
            return String(percentile(counts, [1, 2, 4], share));
        }"""
        for counts, share, wanted in (
            ([0, 0, 0, 0], 0.5, "null"),
            ([1, 0, 0, 0], 0.999, "1"),
            ([5, 5, 0, 0], 0.5, "1"),
            ([5, 6, 0, 0], 0.5, "2"),
            ([990, 9, 1, 0], 0.999, "2"),
            ([989, 9, 2, 0], 0.999, "4"),
            ([0, 0, 0, 3], 0.5, "Infinity"),
        ):
            with self.subTest(counts=counts, share=share):
                self.assertEqual(page.page.evaluate(script, [counts, share]), wanted)


class Lists(Case):
    def test_a_click_on_a_head_sorts_at_the_broker_and_a_second_click_reverses_the_order(self):
        page = self.open(scenes.busy())
        names = "#subscriptions tbody tr td:nth-child(3)"
        self.shown(page, "#subscriptions tbody", "90,421")
        head = page.page.locator("#subscriptions th", has_text="Lag")
        head.get_by_role("button").click()
        page.until("document.querySelector('#subscriptions th[aria-sort]').innerText.includes('Lag')")
        self.shown(page, names, "12 s")
        self.assertEqual(head.get_attribute("aria-sort"), "descending")
        self.assertEqual(page.texts(names)[:3], ["12 s", "11.8 s", "11.6 s"])
        head.get_by_role("button").click()
        self.shown(page, names, "180 µs")
        self.assertEqual(head.get_attribute("aria-sort"), "ascending")
        self.assertIn("sort=lag&order=asc&limit=10&offset=0", self.asked("subscriptions")[-1])
        page.page.locator("#topics th", has_text="Topic").get_by_role("button").click()
        self.shown(page, "#topics tbody tr", "game.moves")

    def test_every_sortable_head_is_a_key_that_the_api_knows(self):
        page = self.open(scenes.busy())
        self.shown(page, "#connections tbody", "10.20.")
        for button in page.page.locator("th button").all():
            before = len(self.asked(""))
            button.click()
            page.until("document.querySelectorAll('.list-note:not([hidden])').length === 0")
            self.assertGreaterEqual(len(self.asked("")), before)
        used = {re.search(r"sort=(\w+)", one)[1] for one in self.asked("") if "sort=" in one}
        for key in ("queued_messages", "age", "kept_bytes", "name", "subscriptions", "published"):
            self.assertIn(key, used)

    def test_pages_are_turned_to_the_last_and_no_further(self):
        page = self.open(scenes.busy())
        self.shown(page, "#topics .range", "1–10 of 72")
        page.page.select_option("#topics .pager select", "50")
        self.shown(page, "#topics .range", "1–50 of 72")
        page.page.click("#topics button[aria-label^='Next']")
        self.shown(page, "#topics .range", "51–72 of 72")
        self.assertTrue(page.page.is_disabled("#topics button[aria-label^='Next']"))
        self.assertEqual(len(page.texts("#topics tbody tr")), 22)
        # The rows of that page go away.
        with self.scene.lock:
            del self.scene.rows["topics"][30:]
        self.shown(page, "#topics .range", "1–30 of 30")
        page.page.select_option("#topics .pager select", "10")
        page.page.click("#topics button[aria-label^='Next']")
        self.shown(page, "#topics .range", "11–20 of 30")
        page.page.click("#topics button[aria-label^='First']")
        self.shown(page, "#topics .range", "1–10 of 30")
        self.assertTrue(page.page.is_disabled("#topics button[aria-label^='Previous']"))

    def test_more_rows_than_the_api_lists_end_at_its_limit(self):
        scene = scenes.empty()
        scene.rows["topics"] = [scenes.topic(f"t.{number}", 0) for number in range(10_050)]
        page = self.open(scene)
        self.shown(page, "#topics .range", "1–10 of 10,050")
        page.page.select_option("#topics .pager select", "100")
        for _ in range(3):
            page.page.click("#topics button[aria-label^='Next']")
        self.shown(page, "#topics .range", "301–400 of 10,050")
        script = """() => { for (let i = 0; i < 120; i += 1)
            document.querySelector("#topics button[aria-label^='Next']").click(); }"""
        page.page.evaluate(script)
        self.shown(page, "#topics .range", "9,901–10,000 of 10,050, no more than 10,000 are listed")
        self.assertTrue(page.page.is_disabled("#topics button[aria-label^='Next']"))

    def test_hostile_names_are_text(self):
        page = self.open(scenes.hostile())
        for name in ("topics", "subscriptions"):
            self.shown(page, f"#{name} tbody", scenes.HOSTILE[0])
            shown = page.texts(f"#{name} tbody .name")
            for hostile in scenes.HOSTILE[:3]:
                self.assertIn(hostile, shown)
            self.assertIn("a⟨202E⟩evil⟨202C⟩.topic", shown)
            self.assertIn("tab⟨0009⟩and⟨000A⟩new line", shown)
            found = page.page.locator(f"#{name} :is(img, script, b, a)").count()
            self.assertEqual(found, 0)
        group = "jobs.> group workers messages not yet given to a member · core 1"
        self.assertIn(group, page.text("#subscriptions tbody"))
        self.assertIn("never.published core 1 0/s 0 0 B 0 0 B none", page.texts("#topics tbody tr"))
        self.assertNotRegex(page.text("body"), r"NaN|undefined|null")
        self.assertEqual(page.page.title(), "Ready · BlipMQ")

    def test_cores_that_did_not_answer_are_named(self):
        scene = scenes.busy()
        scene.unanswered_cores = [1, 2]
        page = self.open(scene)
        self.shown(page, "#topics .list-note", "Cores 1, 2 did not answer")


class Looks(Case):
    def test_a_chosen_theme_is_kept_and_the_system_decides_before(self):
        page = self.open(scenes.busy(), scheme="dark")
        theme = "document.documentElement.dataset.theme"
        self.assertEqual(page.page.evaluate(theme), "dark")
        page.page.get_by_role("button", name="Switch to the light theme").click()
        self.assertEqual(page.page.evaluate(theme), "light")
        page.page.reload()
        self.assertEqual(page.page.evaluate(theme), "light")
        page.page.get_by_role("button", name="Switch to the dark theme").click()
        self.assertEqual(page.page.evaluate(theme), "dark")

    def test_no_scene_is_wider_than_the_screen(self):
        for name, scene in scenes.ALL.items():
            page = self.open(scene())
            page.until(LISTED)
            for width, height in SIZES:
                with self.subTest(name, width=width):
                    page.page.set_viewport_size({"width": width, "height": height})
                    self.assertEqual(page.overflow(), [0, []])

    def test_axe_finds_nothing_serious_in_any_scene_theme_or_size(self):
        # 256 rows take axe minutes, and are as 80.
        for name, scene in (scenes.ALL | {"many_cores": lambda: scenes.many_cores(80)}).items():
            page = self.open(scene())
            page.poll(3)
            page.until(LISTED)
            page.page.click("#pause")
            for size in (pages.DESKTOP, pages.NARROWEST):
                with self.subTest(name, width=size["width"]):
                    page.page.set_viewport_size(size)
                    self.assertEqual(page.inaccessible(), [])
            page.page.click("#theme")
            with self.subTest(name, theme="dark"):
                self.assertEqual(page.inaccessible("color-contrast"), [])

    def test_arrow_keys_read_a_chart_and_tab_reaches_it(self):
        scene = Scene(1)
        scene.on_step = lambda scene: scene.cores[0].count(published_messages=int(scene.now) % 100)
        page = self.open(scene)
        page.poll(5)
        page.page.click("#pause")
        self.shown(page, "#updated", "paused")
        chart = page.page.locator("#rates-chart svg.chart-svg")
        chart.focus()
        latest = page.text("#rates-chart .legend b")
        page.page.keyboard.press("ArrowLeft")
        self.assertNotEqual(page.text("#rates-chart .legend b"), latest)
        self.assertRegex(page.text("#rates-chart .chart-when"), r"at \d\d:\d\d:\d\d")
        self.assertIn("Published", chart.get_attribute("aria-label"))
        page.page.keyboard.press("Escape")
        self.assertEqual(page.text("#rates-chart .legend b"), latest)
        self.assertEqual(chart.get_attribute("tabindex"), "0")

    def test_on_a_phone_cards_name_their_cells_and_can_be_sorted(self):
        page = self.open(scenes.busy(), viewport=pages.PHONE)
        self.shown(page, "#subscriptions .range", "1–5 of 37")
        self.assertFalse(page.page.is_visible("#subscriptions thead"))
        page.page.select_option("#subscriptions .sort-narrow select", "queued_bytes")
        self.shown(page, "#subscriptions tbody tr", "38.4 MiB")
        label = "getComputedStyle(document.querySelector('#subscriptions td:nth-child(2)'), '::before').content"
        self.assertEqual(page.page.evaluate(label), '"Lost"')

    def test_pictures_of_all_scenes(self):
        for name, scene in scenes.ALL.items():
            made = scene()
            made.step_seconds = 5.0
            page = self.open(made)
            page.poll(65 if name == "busy" else 15)
            for theme in ("light", "dark"):
                for size, viewport in (("desktop", pages.DESKTOP), ("phone", pages.PHONE)):
                    page.page.set_viewport_size(viewport)
                    page.picture(f"{name}-{theme}-{size}")
                    if name == "busy":
                        page.picture(f"{name}-{theme}-{size}-whole", whole=True)
                page.page.click("#theme")
            for size in ("desktop", "phone"):
                self.assertGreater((pages.PICTURES / f"{name}-dark-{size}.png").stat().st_size, 10_000)


class Sources(unittest.TestCase):
    def test_sources_load_nothing_from_other_hosts_and_write_no_markup(self):
        self.assertIn("/dashboard.js", FILES)
        for path, file in FILES.items():
            text = file.read_text()
            with self.subTest(path):
                self.assertLess(len(text.splitlines()), 500)
                # The namespace of SVG is a name, which is never fetched.
                rest = text.replace("http://www.w3.org/2000/svg", "")
                self.assertNotRegex(rest, r"https?://|//cdn|@import|url\(")
                self.assertNotRegex(text, r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(")
                if path == "/":
                    self.assertNotRegex(text, r"style=|\son\w+=|<script>|<style")


if __name__ == "__main__":
    unittest.main()
