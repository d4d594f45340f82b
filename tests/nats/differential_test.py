"""The differences that `compare` finds, without servers: each tolerance has a neighbour that is a difference."""

import fnmatch
import unittest
from pathlib import Path

import compare
import corpus
import generate
from session import Connection, Message, opened, sent, Session


def message(sid, payload=b"", subject=b"a", headers=None, reply=None):
    return ("MSG", Message(subject, sid, reply, headers, payload))


PONG = ("PONG", "")
OK = ("+OK", "")
INVALID = ("-ERR", "'Invalid Publish Subject'")


def compared(left, right, senders=(0,), cores="one"):
    """Of what connection 0 got, or of what several did."""
    if isinstance(left, list):
        left, right = {0: left}, {0: right}
    return compare.compare(set(senders), left, right, cores)


class Comparison(unittest.TestCase):
    def equal(self, left, right, *tolerances, senders=(0,), cores="one"):
        differences, used = compared(left, right, senders, cores)
        self.assertEqual(differences, [])
        self.assertEqual(used, set(tolerances))

    def different(self, left, right, senders=(0,), cores="one"):
        for one, other in ((left, right), (right, left)):
            self.assertTrue(compared(one, other, senders, cores)[0], (one, other))

    def test_order_within_a_subscription_counts_and_between_two_does_not(self):
        one, two, other = message(b"1", b"c0:1"), message(b"1", b"c0:2"), message(b"2", b"c0:1")
        self.different([one, two], [two, one])
        self.equal([one, other], [other, one], "interleaving")

    def test_a_lost_a_duplicate_and_a_changed_message_are_found(self):
        one = message(b"1", b"x", reply=b"r")
        self.different([one], [])
        self.different([one], [one, one])
        self.different([one], [message(b"1", b"y", reply=b"r")])
        self.different([one], [message(b"1", b"x")])
        self.different([one], [message(b"2", b"x", reply=b"r")])
        self.different([one], [message(b"1", b"x", headers=b"", reply=b"r")])

    def test_order_of_answers_counts_and_messages_may_come_between(self):
        self.different([OK, INVALID], [INVALID, OK])
        self.different([OK], [])
        self.different([("-ERR", "'a'")], [("-ERR", "'b'")])
        self.equal([OK, message(b"1"), PONG], [message(b"1"), OK, PONG], "beside_ok")

    def test_a_close_counts_and_its_kind_does_not(self):
        self.different([PONG], [("CLOSED", "reset")])
        self.different([OK, ("CLOSED", "reset")], [OK])
        self.equal([("CLOSED", "reset")], [("CLOSED", "end of stream")], "closed_how")

    def test_own_messages_precede_the_pong_and_those_of_others_need_not(self):
        own, foreign = message(b"1", b"c0:1"), message(b"1", b"c1:1")
        self.assertTrue(compared([own, PONG], [PONG, own])[0])
        self.assertTrue(compared([message(b"1"), PONG], [PONG, message(b"1")])[0])
        self.equal([PONG, own], [own, PONG], "early")
        self.equal([foreign, PONG], [PONG, foreign], "later_than_pong", senders=(1,))

    def test_publishers_at_once_keep_their_own_order_only(self):
        a, b, c = message(b"1", b"c0:1"), message(b"1", b"c0:2"), message(b"1", b"c1:1")
        self.equal([a, b, c], [c, a, b], "interleaving", "publishers", senders=(0, 1))
        self.different([a, b, c], [b, a, c], senders=(0, 1))
        self.different([a, b, c], [c, a, b], senders=(0,))

    def test_on_several_cores_order_counts_for_one_publisher_and_subject_only(self):
        one, two = message(b"1", b"c0:1", b"a"), message(b"1", b"c0:2", b"a")
        other = message(b"1", b"c0:3", b"b")
        self.different([one, other], [other, one])
        self.equal([one, two, other], [one, other, two], "interleaving", "subjects", cores="all")
        self.different([one, two, other], [two, one, other], cores="all")
        self.different([one, other], [other], cores="all")
        # The PONG that a message has to precede is looked for with the same message.
        self.assertTrue(compared([one, other, PONG], [other, PONG, one], cores="all")[0])
        self.equal([one, PONG, other], [other, one, PONG], "interleaving", "subjects", "early", cores="all")

    def test_on_several_cores_groups_and_no_responders_keep_no_order_between_subjects(self):
        one, two, other = message(b"9101", b"c0:1"), message(b"9101", b"c0:2"), message(b"9101", b"c0:3", b"b")
        self.different([one, other], [other, one])
        self.equal([one, two, other], [other, one, two], "queue_member", "subjects", cores="all")
        self.different([one, two], [two, one], cores="all")
        a, b = (message(b"1", headers=b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % subject) for subject in (b"a", b"b"))
        self.different([a, b], [b, a])
        self.equal([a, b], [b, a], "subjects", cores="all")
        self.different([a, b], [b, b], cores="all")

    def test_deliberate_differences_are_those_listed(self):
        refused = "c0: answers differ: [+OK, PONG] and [-ERR 'Unknown Protocol Operation', CLOSED]"
        self.assertEqual(compare.deliberate("hmsg from a client, quiet", [refused]), "hmsg_from_a_client")
        self.assertIsNone(compare.deliberate("hmsg from a client, quiet", [refused, "c0: sid b'1': 1 and 0 messages"]))
        self.assertIsNone(compare.deliberate("msg from a client, quiet", [refused]))
        silent = ["c0: no responders: [(b'r', b'x', 0)] and []"]
        (name,) = (one for one in compare.DELIBERATE["responders_of_other_cores"].sessions if "echo" in one)
        self.assertIsNone(compare.deliberate(name, silent))
        self.assertEqual(compare.deliberate(name, silent, "all"), "responders_of_other_cores")

    def test_deliberate_differences_are_in_the_corpus_and_not_generated(self):
        names = [session.name for session in corpus.SESSIONS]
        for known in compare.DELIBERATE.values():
            for pattern in known.sessions:
                self.assertTrue(fnmatch.filter(names, pattern), pattern)
        self.assertNotIn("hmsg from a client", generate.MALFORMED)

    def test_a_group_gives_each_message_to_any_one_member(self):
        one, two = message(b"9101", b"c0:1"), message(b"9102", b"c0:2")
        self.equal({0: [one], 1: [two]}, {0: [], 1: [message(b"9102", b"c0:1"), two]}, "queue_member")
        self.different({0: [one], 1: [two]}, {0: [one], 1: [message(b"9102", b"c0:1"), two]})
        self.different({0: [one], 1: [two]}, {0: [one], 1: []})
        self.different({0: [one], 1: [two]}, {0: [one], 1: [message(b"9201", b"c0:2")]})

    def test_a_group_member_sees_its_publisher_in_order(self):
        ordered = [message(b"9101", b"c0:1"), message(b"9101", b"c0:2")]
        self.different(ordered, ordered[::-1])

    def test_no_responders_goes_to_any_subscription_of_its_reply_once(self):
        status = b"NATS/1.0 503\r\nNats-Subject: b\r\n\r\n"
        one, other = (message(sid, headers=status) for sid in (b"1", b"2"))
        self.equal([one], [other], "no_responders_sid")
        self.different([one], [one, one])
        self.different([one], [])
        self.different([one], [message(b"1", headers=b"NATS/1.0 503\r\n\r\n")])

    def test_a_503_that_a_client_published_is_a_message_like_others(self):
        published = b"NATS/1.0 503\r\nA: 1\r\n\r\n"
        one, other = message(b"9101", headers=published), message(b"9102", headers=published)
        self.equal({0: [one], 1: []}, {0: [], 1: [other]}, "queue_member")

    def test_an_error_that_tcp_may_double_is_one_and_others_are_counted(self):
        self.equal([INVALID, INVALID, OK], [INVALID, OK], "invalid_publish_subject_twice")
        self.different([INVALID, OK, INVALID], [INVALID, OK])
        self.different([("-ERR", "'x'"), ("-ERR", "'x'")], [("-ERR", "'x'")])

    def test_the_fields_of_info_that_clients_use_count(self):
        def info(**more):
            fields = {"server_id": "X", "version": "1", "host": "h", "port": 1, "client_id": 1, "proto": 1}
            fields.update(more)
            return [("INFO", str(fields).replace("'", '"').replace("True", "true").encode())]

        self.equal(info(), info(server_id="Y", port=2), "info_values")
        self.equal(info(), info(xkey="k"), "info_values", "info_extra")
        self.different(info(), info(auth_required=True))
        self.different(info(max_payload=1), info(max_payload=2))
        self.different(info(), info(port="1"))
        self.different(info(), [])
        self.different(info(), info() * 2)
        again = [("INFO", b'{"connect_info":true}')]
        self.equal([PONG, *again], [PONG], "info_again")

    def test_server_pings_are_left_out(self):
        self.equal([PONG], [("PING", ""), PONG], "server_ping")

    def test_the_side_that_lags_is_known_whichever_member_got_the_group_message(self):
        one, other = message(b"9101", b"c0:1"), message(b"9102", b"c0:1")
        self.assertIsNone(compare.lag({0: [one], 1: []}, {0: [], 1: [other]}))
        self.assertEqual(compare.lag({0: [one], 1: []}, {0: [], 1: []}), "right")
        self.assertEqual(compare.lag({0: [PONG]}, {0: [message(b"1")]}), "left")

    def test_every_used_tolerance_is_in_the_table(self):
        source = Path(compare.__file__).read_text()
        for name in compare.TOLERATED:
            self.assertIn(f'used.add("{name}")', source)
        self.assertEqual(source.count("used.add("), source.count('used.add("'))


class Scripts(unittest.TestCase):
    def test_a_session_depends_on_its_seed_and_number_only(self):
        self.assertEqual(generate.session(1, 5), generate.session(1, 5))
        self.assertNotEqual(generate.session(1, 5), generate.session(1, 6))
        self.assertNotEqual(generate.session(1, 5), generate.session(2, 5))
        self.assertEqual(generate.session(1, 5, "all"), generate.session(1, 5, "all"))

    def test_names_of_the_corpus_are_unique(self):
        names = [session.name for session in corpus.SESSIONS]
        self.assertEqual(len(names), len(set(names)))

    def test_cuts_change_segments_and_no_byte(self):
        (send,) = sent(0, b"PING\r\n", b"PUB a 0\r\n\r\n", cuts=[3, 3, 6, 999]).sends
        self.assertEqual(send.segments(), [b"PIN", b"G\r\n", b"PUB a 0\r\n\r\n"])
        self.assertEqual(send.pongs_due(), 1)

    def test_shorter_sessions_are_shorter(self):
        session = Session("x", (opened(0), sent(0, b"a", b"b", cuts=[1]), sent(0, b"c")))

        def size(of):
            return sum(1 + sum(len(send.commands) + len(send.cuts) for send in step.sends) for step in of.steps)

        shorter = list(generate.shorter(session))
        self.assertTrue(shorter)
        self.assertTrue(all(size(one) < size(session) for one in shorter))


class Parser(unittest.TestCase):
    def parsed(self, data):
        """Given a byte at a time."""
        connection = Connection.__new__(Connection)
        connection.unparsed, connection.events, connection.pongs = b"", [], 0
        for byte in data:
            connection.unparsed += bytes([byte])
            connection.parse()
        return connection.events

    def test_messages_are_read_with_and_without_reply_and_headers(self):
        self.assertEqual(
            self.parsed(b"MSG a 1 2\r\nhi\r\nMSG a 1 r 0\r\n\r\nHMSG a 1 r 3 5\r\nabcde\r\n+OK\r\n-ERR 'x'\r\nPONG\r\n"),
            [
                message(b"1", b"hi"),
                message(b"1", b"", reply=b"r"),
                message(b"1", b"de", headers=b"abc", reply=b"r"),
                OK,
                ("-ERR", "'x'"),
                PONG,
            ],
        )

    def test_bytes_that_are_not_nats_are_kept(self):
        self.assertEqual(self.parsed(b"FOO\r\n"), [("GARBAGE", b"FOO")])
        self.assertIn(b"no line end", self.parsed(b"MSG a 1 1\r\nxyz")[0][1].payload)


if __name__ == "__main__":
    unittest.main()
