"""Tests of the attacks' own code: python3 -m unittest discover --start-directory tests/hostile --pattern '*_test.py'"""

import socket
import struct
import unittest
import xml.etree.ElementTree

import blip
import nats
import plot
import run
import scene
import soak
from broker import toml


def outcome(**values):
    found = scene.Outcome("F1a")
    for what, value in values.items():
        found.at_most(what, value, 1.0)
    return found


class Protocols(unittest.TestCase):
    def test_frames_are_cut_where_they_end_and_a_part_is_kept(self):
        whole = blip.ping(7) + blip.messages(3, [b"ab", b""])
        buffer = bytearray(whole + blip.pong(1)[:9])
        (ping, messages) = blip.frames(buffer)
        self.assertEqual(ping, (blip.PING, 0, struct.pack("<Q", 7)))
        self.assertEqual(messages[:2], (blip.MESSAGES, 2))
        self.assertTrue(messages[2].endswith(b"\x02\0\0\0ab\0\0\0\0"))
        self.assertEqual(bytes(buffer), blip.pong(1)[:9])

    def test_a_ping_of_the_broker_is_answered_and_not_returned(self):
        client = object.__new__(blip.Blip)
        client.socket, broker = socket.socketpair()
        with client.socket, broker:
            client.unparsed = bytearray(blip.ping(7) + blip.pong(1))
            self.assertEqual([kind for kind, _, _ in client.frames()], [blip.PONG])
            self.assertEqual(broker.recv(64), blip.pong(7))

    def test_a_message_that_looks_like_lines_is_counted_once(self):
        client = object.__new__(nats.Nats)
        client.errors, client.received_messages = [], 0
        client.unparsed = bytearray(b"MSG a 1 8\r\nPONG\r\n\r\n\r\nMSG a 1 4\r\nx")
        self.assertFalse(client.parse(b"PONG"))
        self.assertEqual((client.received_messages, bytes(client.unparsed)), (1, b"MSG a 1 4\r\nx"))

    def test_tables_and_lists_of_tables_are_written(self):
        text = toml({"a": {"b": 1, "c": [True, "d"]}, "e.f": [{"g": "h"}, {"g": "i"}]})
        self.assertEqual(text, '[a]\nb = 1\nc = [true, "d"]\n[[e.f]]\ng = "h"\n[[e.f]]\ng = "i"\n')


class Verdicts(unittest.TestCase):
    def test_one_bound_that_is_broken_fails_the_attack_and_is_shown(self):
        self.assertEqual(outcome(a=0.5, b=1.0).failed(), [])
        broken = outcome(a=0.5, b=1.5)
        self.assertEqual([check.what for check in broken.failed()], ["b"])
        self.assertIn("FAILED\n    b: 1.5, must be at most 1", run.shown(broken))
        self.assertFalse(run.written([broken])["F1a"]["held"])

    def test_a_witness_that_keeps_too_little_fails(self):
        place = object.__new__(scene.Scene)
        place.outcome = scene.Outcome("F1a")
        quiet = {"rate": 4_000.0, "silence_s": 0.0, "p99_s": 0.0}
        during = quiet | {"rate": 3_500.0, "worst_s": 0.0, "closed": 0}
        place.judge_witness("", quiet, during, 0.9, 0.4)
        self.assertEqual([check.what for check in place.outcome.failed()], ["share of the witness's rate"])

    def test_attacks_are_chosen_by_name_or_beginning(self):
        names = [one.name for one in run.selected(["F1d", "F1a"], False)]
        self.assertEqual(names, ["F1a", "F1d-literal", "F1d-pattern"])
        self.assertLess(len(run.selected([], True)), len(run.selected([], False)))


class Soak(unittest.TestCase):
    def line(self, number, **values):
        steady = {"seconds": number, "rss_mib": 50.0, "descriptors": 90, "p99_ms": 8.0, "lost": 0}
        return steady | values

    def test_only_what_grows_is_drift(self):
        steady = [self.line(number) for number in range(40)]
        self.assertEqual(soak.drifts(steady), [])
        growing = [self.line(number, rss_mib=50.0 + 2 * number) for number in range(40)]
        self.assertEqual(soak.drifts(growing), ["RSS went from 79.0 to 119.0 MiB"])
        lossy = [*steady[:-1], self.line(39, lost=3)]
        self.assertEqual(soak.drifts(lossy), ["the witness lost 3 messages"])

    def test_a_plot_has_a_point_for_each_line(self):
        lines = [self.line(number) for number in range(5)]
        root = xml.etree.ElementTree.fromstring(plot.svg(lines, ["rss_mib", "p99_ms"]))
        curves = [each.get("points") for each in root if each.tag.endswith("polyline")]
        self.assertEqual([len(points.split()) for points in curves], [5, 5])


if __name__ == "__main__":
    unittest.main()
