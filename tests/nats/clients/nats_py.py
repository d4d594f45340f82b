"""nats-py, unmodified, against a broker. Run by ../run.py; alone, in a Python that has nats-py:

    SERVER=nats-server NATS_SERVER=... python nats_py.py [-k NAME]

Each test is a claim; tests of the same name are in nats_js.mjs and in ../async_nats.
"""

import asyncio
import contextlib
import json
import os
import random
import ssl
import sys
import tempfile
import unittest
from pathlib import Path

import nats
from nats import errors
from nats.js.errors import ServiceUnavailableError

import server

PATIENCE = server.PATIENCE
SEED = "SUAN6NLTGSMFYTYS62FSOKZVWZCET63XCWH27DQWU25EKGOJUTWIB27F74"
OTHER_SEED = "SUAPOOTJWC5T5DCRGTO7Q6SWQK47WQOEM57BYHWW4PEWGJYFFD2JZLDCG4"
# A 503 comes at once; a request that waits in vain fails after this time.
FAST = 5


async def within(awaitable, patience=PATIENCE):
    return await asyncio.wait_for(awaitable, patience)


async def settled(client):
    """Waits until the broker did all that the client sent: nats-py's own PING overtakes what it has
    not yet written, and only the second one comes after that."""
    await within(client.flush())
    await within(client.flush())


class Errors:
    """The errors that a client passed to its callback."""

    def __init__(self):
        self.queue = asyncio.Queue()

    async def add(self, error):
        await self.queue.put(error)

    async def next(self):
        return str(await within(self.queue.get()))


class Claims(unittest.IsolatedAsyncioTestCase):
    auth = "none"

    async def asyncSetUp(self):
        # unittest turns debug mode on, which makes clients slow and reports slow callbacks.
        asyncio.get_running_loop().set_debug(False)
        self.server = self.enterContext(server.start(auth=self.auth))
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            if not client.is_closed:
                await within(client.close())

    async def client(self, **options):
        options = {
            "allow_reconnect": False,
            "connect_timeout": PATIENCE,
            "error_cb": Errors().add,
            **options,
        }
        client = await within(nats.connect(self.server.url, **options))
        self.clients.append(client)
        return client

    async def subscribed(self, client, subject, **options):
        """A subscription that the broker has."""
        subscription = await client.subscribe(subject, **options)
        await settled(client)
        return subscription

    async def take(self, subscription, count):
        return [await subscription.next_msg(timeout=PATIENCE) for _ in range(count)]

    async def refused(self, **options):
        with self.assertRaises(errors.Error) as caught:
            await self.client(**options)
        self.assertIn("authorization violation", str(caught.exception).lower())


class Messages(Claims):
    async def test_connects_and_learns_about_the_broker(self):
        client = await self.client(name="me")
        info = client._server_info
        self.assertEqual(client.max_payload, 1024 * 1024)
        self.assertTrue(info["server_id"])
        self.assertTrue(info["headers"])
        self.assertEqual(info["proto"], 1)
        self.assertGreaterEqual(client.connected_server_version.major, 0)
        self.assertGreater(await within(client.rtt()), 0)

    async def test_a_message_arrives_as_published(self):
        subscriber, publisher = await self.client(), await self.client()
        subscription = await self.subscribed(subscriber, "orders.eu")
        payload = bytes(range(256)) + b"\r\nPING\r\n"
        await publisher.publish("orders.eu", payload, reply="answers.here")
        [message] = await self.take(subscription, 1)
        self.assertEqual(message.subject, "orders.eu")
        self.assertEqual(message.reply, "answers.here")
        self.assertEqual(message.data, payload)
        self.assertIsNone(message.headers)

    async def test_an_empty_payload_arrives(self):
        client = await self.client()
        subscription = await self.subscribed(client, "empty")
        await client.publish("empty")
        await client.publish("empty", headers={"Key": "value"})
        without, with_headers = await self.take(subscription, 2)
        self.assertEqual(without.data, b"")
        self.assertEqual(with_headers.data, b"")
        self.assertEqual(with_headers.headers, {"Key": "value"})

    async def test_a_star_stands_for_one_token(self):
        client = await self.client()
        subscription = await self.subscribed(client, "a.*.c")
        for subject in ["a.c", "a.b.c.d", "a.b.b.c", "a.1.c", "b.1.c", "a.2.c"]:
            await client.publish(subject)
        got = [message.subject for message in await self.take(subscription, 2)]
        self.assertEqual(got, ["a.1.c", "a.2.c"])

    async def test_a_greater_than_stands_for_one_token_or_more(self):
        client = await self.client()
        subscription = await self.subscribed(client, "a.>")
        for subject in ["a", "b.a.c", "a.b", "ab.c", "a.b.c.d"]:
            await client.publish(subject)
        got = [message.subject for message in await self.take(subscription, 2)]
        self.assertEqual(got, ["a.b", "a.b.c.d"])

    async def test_each_message_goes_to_one_member_of_a_queue_group(self):
        total = 1000
        got, done = {"first": [], "second": [], "beside": []}, asyncio.Event()

        def keep(name):
            async def callback(message):
                got[name].append(int(message.data))
                if len(got["first"]) + len(got["second"]) >= total and len(got["beside"]) >= total:
                    done.set()

            return callback

        for name, queue in [("first", "workers"), ("second", "workers"), ("beside", "")]:
            await self.subscribed(await self.client(), "jobs", queue=queue, cb=keep(name))
        publisher = await self.client()
        for job in range(total):
            await publisher.publish("jobs", b"%d" % job)
        await within(done.wait())
        self.assertEqual(sorted(got["first"] + got["second"]), list(range(total)))
        self.assertEqual(got["beside"], list(range(total)))
        self.assertGreater(len(got["first"]), 0)
        self.assertGreater(len(got["second"]), 0)

    async def test_no_echo_keeps_own_messages_away(self):
        quiet, other = await self.client(no_echo=True), await self.client()
        subscription = await self.subscribed(quiet, "echo")
        await quiet.publish("echo", b"own")
        await settled(quiet)
        await other.publish("echo", b"of another")
        [message] = await self.take(subscription, 1)
        self.assertEqual(message.data, b"of another")

    async def test_a_flush_returns_when_everything_before_was_done(self):
        subscriber, publisher = await self.client(), await self.client()
        for turn in range(20):
            subscription = await subscriber.subscribe(f"flushed.{turn}")
            await settled(subscriber)
            await publisher.publish(f"flushed.{turn}", b"%d" % turn)
            await settled(publisher)
            [message] = await self.take(subscription, 1)
            self.assertEqual(message.data, b"%d" % turn)
        pings = [subscriber.flush() for _ in range(100)]
        await within(asyncio.gather(*pings))

    async def test_a_subscription_ends_after_its_maximum(self):
        client = await self.client()
        limited = await client.subscribe("limited")
        await limited.unsubscribe(limit=3)
        beside = await self.subscribed(client, "limited")
        for number in range(6):
            await client.publish("limited", b"%d" % number)
        await self.take(beside, 6)
        got = [message.data async for message in limited.messages]
        self.assertEqual(got, [b"0", b"1", b"2"])
        # The broker has removed it as well: without the other subscription none is left.
        await beside.unsubscribe()
        with self.assertRaises(errors.NoRespondersError):
            await client.request("limited", timeout=FAST)

    async def test_two_publishers_under_load_lose_nothing_and_keep_their_order(self):
        each = 5000
        for pattern, subjects in [("one", ["one", "one"]), ("two.*", ["two.0", "two.1"])]:
            with self.subTest(pattern):
                got, done = [[], []], asyncio.Event()

                async def keep(message):
                    number, count, _ = message.data.split(b" ")
                    got[int(number)].append(int(count))
                    if len(got[0]) + len(got[1]) >= 2 * each:
                        done.set()

                async def publish(number):
                    publisher = await self.client()
                    for count in range(each):
                        payload = b"%d %d " % (number, count) + b"x" * 100
                        await publisher.publish(subjects[number], payload)
                        # Lets the other publisher run.
                        if count % 100 == 0:
                            await asyncio.sleep(0)
                    await settled(publisher)

                await self.subscribed(await self.client(), pattern, cb=keep)
                await within(asyncio.gather(publish(0), publish(1)))
                await within(done.wait())
                self.assertEqual(got, [list(range(each))] * 2)


class Requests(Claims):
    async def test_a_request_gets_its_reply(self):
        asker, answerer = await self.client(), await self.client()

        async def answer(message):
            await message.respond(b"re: " + message.data)

        await self.subscribed(answerer, "service", cb=answer)
        asked = [asker.request("service", b"%d" % n, timeout=PATIENCE) for n in range(100)]
        replies = await within(asyncio.gather(*asked))
        self.assertEqual([reply.data for reply in replies], [b"re: %d" % n for n in range(100)])
        reply = await asker.request("service", b"old", timeout=PATIENCE, old_style=True)
        self.assertEqual(reply.data, b"re: old")

    async def test_a_request_without_responders_fails_fast(self):
        client = await self.client()
        for old_style in (False, True):
            with self.assertRaises(errors.NoRespondersError):
                await client.request("nobody", b"?", timeout=FAST, old_style=old_style)

    async def test_headers_arrive_as_published(self):
        client = await self.client()
        subscription = await self.subscribed(client, "headers")
        headers = {"Key": "value", "key": "Another case", "Empty": "", "Url": "http://[::1]:4222/?a=b"}
        await client.publish("headers", b"payload", headers=headers, reply="answers.here")
        [message] = await self.take(subscription, 1)
        self.assertEqual(message.headers, headers)
        self.assertEqual(message.data, b"payload")
        self.assertEqual(message.reply, "answers.here")

    async def test_a_request_carries_headers_both_ways(self):
        asker, answerer = await self.client(), await self.client()

        async def answer(message):
            headers = {"Answer": message.headers["Question"]}
            await answerer.publish(message.reply, b"reply", headers=headers)

        await self.subscribed(answerer, "service", cb=answer)
        reply = await asker.request("service", b"", timeout=PATIENCE, headers={"Question": "6 * 7"})
        self.assertEqual(reply.data, b"reply")
        self.assertEqual(reply.headers, {"Answer": "6 * 7"})

    async def test_a_jetstream_request_fails_fast(self):
        client = await self.client()
        with self.assertRaises(errors.NoRespondersError):
            await client.request("$JS.API.INFO", timeout=FAST)
        with self.assertRaises(ServiceUnavailableError):
            await client.jetstream(timeout=FAST).account_info()


class Ends(Claims):
    async def test_a_drained_subscription_gets_what_was_sent_before(self):
        subscriber, publisher = await self.client(), await self.client()
        got = []

        async def keep(message):
            got.append(int(message.data))

        subscription = await self.subscribed(subscriber, "drained", cb=keep)
        for number in range(1000):
            await publisher.publish("drained", b"%d" % number)
        await settled(publisher)
        await within(subscription.drain())
        self.assertEqual(got, list(range(1000)))
        await settled(subscriber)
        with self.assertRaises(errors.NoRespondersError):
            await publisher.request("drained", timeout=FAST)
        self.assertTrue(subscriber.is_connected)

    async def test_a_drained_connection_gets_and_sends_what_was_under_way_and_closes(self):
        closed = asyncio.Event()

        async def when_closed():
            closed.set()

        draining, other = await self.client(closed_cb=when_closed), await self.client()
        answers = await self.subscribed(other, "answers")

        async def answer(message):
            await draining.publish("answers", message.data)

        await self.subscribed(draining, "questions", cb=answer)
        for number in range(100):
            await other.publish("questions", b"%d" % number)
        await settled(other)
        await within(draining.drain())
        await within(closed.wait())
        got = [message.data for message in await self.take(answers, 100)]
        self.assertEqual(got, [b"%d" % number for number in range(100)])
        with self.assertRaises(errors.NoRespondersError):
            await other.request("questions", timeout=FAST)


class Restarts(Claims):
    async def renews(self, end):
        disconnected, reconnected = asyncio.Event(), asyncio.Event()

        async def when_disconnected():
            disconnected.set()

        async def when_reconnected():
            reconnected.set()

        client = await self.client(
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
            disconnected_cb=when_disconnected,
            reconnected_cb=when_reconnected,
        )
        subscription = await self.subscribed(client, "renewed.*")

        async def answer(message):
            await message.respond(b"here")

        await self.subscribed(client, "service", queue="workers", cb=answer)
        await client.publish("renewed.before", b"1")
        await self.take(subscription, 1)
        # In a thread: a broker that stops may wait for its clients, which have to go on.
        await within(asyncio.to_thread(end))
        await within(disconnected.wait())
        self.server.start_again()
        await within(reconnected.wait())
        await settled(client)
        other = await self.client()
        await other.publish("renewed.after", b"2")
        [message] = await self.take(subscription, 1)
        self.assertEqual((message.subject, message.data), ("renewed.after", b"2"))
        self.assertEqual((await other.request("service", timeout=PATIENCE)).data, b"here")
        self.assertEqual((await client.request("service", timeout=PATIENCE)).data, b"here")

    async def test_after_a_crash_subscriptions_are_renewed(self):
        await self.renews(self.server.kill)

    async def test_after_a_stop_subscriptions_are_renewed(self):
        await self.renews(self.server.stop)


class Limits(Claims):
    async def test_a_payload_of_the_limit_arrives(self):
        client = await self.client()
        subscription = await self.subscribed(client, "large")
        payload = os.urandom(client.max_payload)
        await client.publish("large", payload)
        [message] = await self.take(subscription, 1)
        self.assertTrue(message.data == payload)

    async def test_the_client_refuses_a_longer_payload(self):
        client = await self.client()
        with self.assertRaises(errors.MaxPayloadError):
            await client.publish("large", bytes(client.max_payload + 1))
        await settled(client)

    async def test_the_broker_refuses_a_longer_payload(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 22)
        with contextlib.closing(writer):
            info = json.loads((await within(reader.readline())).removeprefix(b"INFO "))
            writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
            self.assertEqual(await within(reader.readline()), b"PONG\r\n")
            writer.write(b"PUB large %d\r\n" % (info["max_payload"] + 1))
            self.assertEqual(
                await within(reader.readline()), b"-ERR 'Maximum Payload Violation'\r\n"
            )
            self.assertEqual(await within(reader.read()), b"")


class Token(Claims):
    auth = "token"

    async def test_the_right_token_is_accepted(self):
        client = await self.client(token="t0k")
        await settled(client)

    async def test_a_wrong_token_is_refused(self):
        await self.refused(token="t0ken")
        await self.refused()


class Users(Claims):
    auth = "users"

    async def bob(self):
        reported = Errors()
        return await self.client(user="bob", password="builder", error_cb=reported.add), reported

    async def test_the_right_password_is_accepted(self):
        client = await self.client(user="alice", password="wonderland")
        await settled(client)

    async def test_a_wrong_password_is_refused(self):
        await self.refused(user="alice", password="builder")
        await self.refused(user="carol", password="wonderland")
        await self.refused()

    async def test_a_forbidden_publish_is_reported_and_the_connection_stays(self):
        bob, reported = await self.bob()
        alice = await self.client(user="alice", password="wonderland")
        everything = await self.subscribed(alice, ">")
        for subject in ["closed", "open.secret"]:
            await bob.publish(subject, b"no")
            self.assertEqual(
                (await reported.next()).lower(),
                f'nats: permissions violation for publish to "{subject}"',
            )
        await bob.publish("open.door", b"yes")
        [message] = await self.take(everything, 1)
        self.assertEqual((message.subject, message.data), ("open.door", b"yes"))
        self.assertTrue(bob.is_connected)

    async def test_a_forbidden_subscribe_is_reported_and_the_connection_stays(self):
        bob, reported = await self.bob()
        alice = await self.client(user="alice", password="wonderland")
        for subject, queue in [("closed", ""), ("open.secret", ""), (">", ""), ("closed", "group")]:
            await bob.subscribe(subject, queue=queue)
            expected = f'nats: permissions violation for subscription to "{subject}"'
            if queue:
                expected += f' using queue "{queue}"'
            self.assertEqual((await reported.next()).lower(), expected)
        allowed = await self.subscribed(bob, "open.*")
        for subject in ["closed", "open.secret", "open.door"]:
            await alice.publish(subject)
        [message] = await self.take(allowed, 1)
        self.assertEqual(message.subject, "open.door")
        self.assertTrue(bob.is_connected)


class Nkey(Claims):
    auth = "nkey"

    @contextlib.contextmanager
    def seed(self, seed):
        with tempfile.NamedTemporaryFile("w", prefix="blipmq-nats-", suffix=".nk") as file:
            file.write(seed)
            file.flush()
            yield file.name

    async def test_the_right_nkey_is_accepted(self):
        with self.seed(SEED) as seed:
            client = await self.client(nkeys_seed=seed)
            await settled(client)

    async def test_another_nkey_is_refused(self):
        with self.seed(OTHER_SEED) as seed:
            await self.refused(nkeys_seed=seed)
        await self.refused()


def context(user=None, trusts=True):
    """The terms of TLS of a client, which may have the certificate of a user."""
    folder = Path(server.CERTIFICATES)
    terms = ssl.create_default_context()
    if trusts:
        terms.load_verify_locations(folder / "ca.pem")
    if user:
        terms.load_cert_chain(folder / f"{user}.pem", folder / f"{user}.key")
    return terms


class Secure(Claims):
    auth = "tls"

    async def test_messages_arrive_over_tls(self):
        client = await self.client(tls=context())
        subscription = await self.subscribed(client, "large.*")
        payload = random.randbytes(300_000)
        await client.publish("large.one", payload)
        [message] = await self.take(subscription, 1)
        self.assertEqual((message.subject, message.data), ("large.one", payload))
        self.assertTrue(client._server_info["tls_required"])

    async def test_a_server_of_another_authority_is_refused(self):
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.client(tls=context(trusts=False))


class SecureFirst(Claims):
    auth = "tls_first"

    async def test_messages_arrive_over_tls_that_begins_before_info(self):
        client = await self.client(tls=context(), tls_handshake_first=True)
        subscription = await self.subscribed(client, "a.b")
        await client.publish("a.b", b"x")
        [message] = await self.take(subscription, 1)
        self.assertEqual((message.subject, message.data), ("a.b", b"x"))


class Certified(Claims):
    auth = "tls_users"

    async def test_a_certificate_is_a_user(self):
        reported = Errors()
        alice = await self.client(tls=context("alice@example.com"), error_cb=reported.add)
        subscription = await self.subscribed(alice, ">")
        await alice.publish("closed", b"no")
        self.assertIn("permissions violation", (await reported.next()).lower())
        await alice.publish("open.door", b"yes")
        [message] = await self.take(subscription, 1)
        self.assertEqual((message.subject, message.data), ("open.door", b"yes"))

    async def test_a_certificate_of_nobody_is_refused(self):
        await self.refused(tls=context("bob"))

    async def test_a_client_without_a_certificate_is_refused(self):
        with self.assertRaises((OSError, errors.Error)):
            await self.client(tls=context())


class Lines(unittest.TextTestResult):
    """Prints a line per test that run.py reads, and details of failures at the end."""

    def stopTest(self, test):
        super().stopTest(test)
        bad = [one for one, _ in self.failures + self.errors]
        failed = any(getattr(one, "test_case", one) is test for one in bad)
        name = test.id().rsplit(".", 1)[-1].removeprefix("test_")
        print("FAILED" if failed else "passed", name, flush=True)


if __name__ == "__main__":
    runner = unittest.TextTestRunner(
        stream=sys.stdout,
        resultclass=Lines,
        verbosity=0,
        # nats-py leaves the socket of a refused connection to the garbage collector.
        warnings="ignore",
    )
    unittest.main(testRunner=runner)
