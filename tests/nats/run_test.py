"""Tests of run.py: python3 -m unittest discover --start-directory tests/nats --pattern '*_test.py'"""

import re
import unittest

import run

PRINTED = {
    "async-nats": "running 2 tests\ntest auth::a_b ... ok\ntest c ... FAILED\n\ntest result: FAILED.",
    "nats-py": "passed a_b\nFAILED c\n----\nRan 2 tests in 1 s\n\nFAILED (failures=1)",
    "nats.js": "TAP version 13\n# Subtest: a b\nok 1 - a b\n  ---\n  ...\nnot ok 2 - c\n# tests 2",
}


class Running(unittest.TestCase):
    def test_lines_of_all_clients_are_understood(self):
        for client in run.ALL:
            with self.subTest(client.name):
                found = run.results(client, PRINTED[client.name])
                self.assertEqual(found, {"a b": True, "c": False})

    def test_a_test_that_failed_once_has_failed(self):
        [js] = [client for client in run.ALL if client.name == "nats.js"]
        self.assertEqual(run.results(js, "not ok 1 - a\nok 2 - a"), {"a": False})

    def test_a_table_has_a_line_for_each_claim_of_any_client(self):
        table = run.table({"one": {"a b": True, "c": False}, "another": {"c": True}})
        expected = ["     one     another", "a b  passed  -", "c    FAILED  passed"]
        self.assertEqual(table.splitlines(), expected)

    def run_a_client_that(self, does):
        line = re.compile(r"^(?P<end>ok) (?P<name>\w+)$", re.MULTILINE)
        return run.run(run.Client("sh", None, ["sh", "-c", does], line, ("ok",)), {})

    def test_a_client_that_runs_nothing_or_breaks_off_has_failed(self):
        self.assertEqual(self.run_a_client_that("echo ok a"), ({"a": True}, "ok a\n", ""))
        self.assertEqual(self.run_a_client_that("true"), ({}, "", "it ran no test"))
        _, _, wrong = self.run_a_client_that("echo ok a; exit 3")
        self.assertEqual(wrong, "it ended with status 3")


if __name__ == "__main__":
    unittest.main()
