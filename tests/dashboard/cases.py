"""The base of tests against the fake broker: one Chromium, and a fake broker and a page for each test.

Used by `against_fake.py` and `states.py`.
"""

import unittest

import pages
from fake import FakeBroker


class Case(unittest.TestCase):
    # Texts of problems that tests provoke on purpose.
    expected = ()

    @classmethod
    def setUpClass(cls):
        cls.browser = pages.Browser()
        cls.addClassCleanup(cls.browser.close)

    def open(self, scene, **options):
        self.scene = scene
        self.broker = FakeBroker(scene)
        self.addCleanup(self.broker.stop)
        return self.look(**options)

    def look(self, **options):
        page = self.browser.open(self.broker.url, **options)
        self.addCleanup(page.close)
        self.addCleanup(lambda: self.assertEqual(page.wrong(self.expected), []))
        return page

    def asked(self, path):
        with self.scene.lock:
            return [one for one in self.scene.asked if one.startswith(f"/api/v1/{path}")]

    def shown(self, page, selector, text):
        page.until_text(selector, text)
