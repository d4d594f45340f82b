"""Tests of run.py and fake.py.

python3 -m unittest discover --start-directory tests/dashboard --pattern '*_test.py'
"""

import json
import os
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from unittest import mock

import fake
import run
import scenes


class Running(unittest.TestCase):
    def test_without_options_the_fake_broker_is_tested(self):
        self.assertEqual(run.command(run.arguments([]))[1:], [str(run.HERE / "tests.py")])

    def test_a_binary_and_a_url_are_passed_on(self):
        binary = run.command(run.arguments(["--binary", "target/debug/blipmq"]))
        self.assertEqual(binary[-2:], ["--binary", str(Path("target/debug/blipmq").resolve())])
        url = run.command(run.arguments(["--url", "http://127.0.0.1:9", "--only", "axe"]))
        self.assertEqual(url[2:], ["--only", "axe", "--url", "http://127.0.0.1:9"])

    def test_the_error_of_a_missing_chromium_says_what_to_do(self):
        with mock.patch.dict(os.environ, {"CHROMIUM": "/nowhere/chromium"}):
            with self.assertRaisesRegex(run.Missing, "nowhere.*apt-get install chromium"):
                run.chromium()


class Faking(unittest.TestCase):
    def setUp(self):
        self.scene = scenes.busy()
        self.broker = fake.FakeBroker(self.scene)
        self.addCleanup(self.broker.stop)

    def get(self, path, **headers):
        request = urllib.request.Request(f"{self.broker.url}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers, answer.read()

    def json(self, path, **headers):
        return json.loads(self.get(f"/api/v1/{path}", **headers)[1])

    def status_of(self, path, **headers):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.get(path, **headers)
        with refused.exception as answer:
            return answer.code, json.load(answer)["error"]

    def test_time_advances_with_answers_of_the_cores_only(self):
        first = self.json("cores")["now_unix_seconds"]
        self.json("status")
        self.assertEqual(self.json("cores")["now_unix_seconds"], first + self.scene.step_seconds)

    def test_lists_are_sorted_and_paged(self):
        answer = self.json("topics?sort=name&order=asc&limit=2&offset=1")
        names = sorted(row["topic"] for row in self.scene.rows["topics"])
        self.assertEqual([row["topic"] for row in answer["rows"]], names[1:3])
        self.assertEqual((answer["total"], answer["offset"], answer["limit"]), (72, 1, 2))

    def test_requests_outside_of_the_contract_are_refused(self):
        self.assertEqual(self.status_of("/api/v1/topics?sort=colour")[0], 400)
        self.assertEqual(self.status_of("/api/v1/topics?limit=50&offset=9999")[0], 400)
        self.assertEqual(self.status_of("/api/v1/nothing")[0], 404)
        self.scene.token = "t"
        self.assertEqual(self.status_of("/api/v1/status")[0], 401)
        self.assertEqual(self.json("status", Authorization="Bearer t")["name"], "blipmq")

    def test_the_page_has_the_policy_of_the_real_one(self):
        headers, body = self.get("/")
        self.assertIn("script-src 'self'", headers["Content-Security-Policy"])
        self.assertIn(b"BlipMQ", body)


if __name__ == "__main__":
    unittest.main()
