"""BLIP/1 in bytes: frames to send, frames read, and a client that is as rude as its caller wants."""

import struct
import time

from wire import PATIENCE_S, Wire

HEADER = struct.Struct("<IBBH")
HELLO, OPEN, SUBSCRIBE, UNSUBSCRIBE, PING, PONG, CLOSE = range(0x01, 0x08)
MESSAGES = 0x10
WELCOME, TOPIC, SUBSCRIBED, UNSUBSCRIBED, ACK, GAP = range(0x81, 0x87)
ERROR, GOODBYE = 0x8E, 0x8F
# The head of MESSAGES behind the header: topic, subscription, sequence, timestamp, ttl_ms, crc.
MESSAGES_HEAD = struct.Struct("<IIQQII")
# Topic, subscription, first missed sequence, messages missed, reason.
GAP_BODY = struct.Struct("<IIQQB")
WANTS_ACK = 0x01
PROVISIONAL = 0x8000_0000
OVERFLOW = {"default": 0, "drop_oldest": 1, "drop_new": 2, "block": 3, "disconnect": 4, "latest": 5}
LIVE, LAST, SEQUENCE = 0, 1, 2


def frame(kind, body=b"", flags=0, count=0):
    return HEADER.pack(HEADER.size + len(body), kind, flags, count) + body


def string16(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(data)) + data


def hello(user="", password=""):
    kind = 2 if user else 0
    body = b"BLIP" + struct.pack("<HH", 1, kind)
    return frame(HELLO, body + string16("hostile") + string16(user) + string16(password))


def open_topic(request, topic):
    return frame(OPEN, struct.pack("<I", request) + string16(topic))


def subscribe(subscription, pattern, overflow="default", start=LIVE, argument=0, capacity=0, group=""):
    options = struct.pack("<IBBHIQ", subscription, OVERFLOW[overflow], start, 0, capacity, argument)
    return frame(SUBSCRIBE, options + string16(pattern) + string16(group))


def unsubscribe(subscription):
    return frame(UNSUBSCRIBE, struct.pack("<I", subscription))


def ping(opaque=0):
    return frame(PING, struct.pack("<Q", opaque))


def pong(opaque=0):
    return frame(PONG, struct.pack("<Q", opaque))


def messages(topic, payloads, publish_id=0, flags=0, ttl_ms=0):
    head = MESSAGES_HEAD.pack(topic, 0, publish_id, 0, ttl_ms, 0)
    records = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    return frame(MESSAGES, head + records, flags, len(payloads))


def frames(unparsed):
    """Takes the whole frames off a buffer: kind, count and body of each."""
    found, at = [], 0
    while len(unparsed) - at >= HEADER.size:
        length, kind, _, count = HEADER.unpack_from(unparsed, at)
        if len(unparsed) - at < length:
            break
        found.append((kind, count, bytes(unparsed[at + HEADER.size : at + length])))
        at += length
    del unparsed[:at]
    return found


def error_code(body):
    return struct.unpack_from("<IH", body)[1]


class Blip(Wire):
    """A client that has sent HELLO and was welcome. `login` is user and password."""

    def __init__(self, port, login=("", ""), **options):
        super().__init__(port, **options)
        self.unread = []
        self.send(hello(*login))
        self.expect(WELCOME)

    def next_frame(self, patience_s=PATIENCE_S):
        """The next frame; None if none comes in time."""
        deadline = time.monotonic() + patience_s
        while not self.unread:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.receive(left)
            self.unread = self.frames()
        return self.unread.pop(0)

    def frames(self):
        """The whole frames that arrived. PINGs of the broker are answered, and not among them."""
        found = frames(self.unparsed)
        for body in (body for kind, _, body in found if kind == PING):
            try:
                self.socket.send(frame(PONG, body))
            except OSError:
                # It is closed, or full: then the broker knows well that the client is there.
                pass
        return [each for each in found if each[0] != PING]

    def expect(self, *kinds):
        """The next frame of one of the kinds; others are skipped."""
        while True:
            found = self.next_frame()
            assert found, f"no frame of the kinds {kinds} came in {PATIENCE_S} s"
            if found[0] in kinds:
                return found

    def open(self, request, topic):
        """Opens a topic; returns its id."""
        self.send(open_topic(request, topic))
        kind, _, body = self.expect(TOPIC, ERROR)
        assert kind == TOPIC, f"OPEN {topic} was refused: {body[6:]!r}"
        return struct.unpack_from("<II", body)[1]

    def subscribe(self, subscription, pattern, **options):
        self.send(subscribe(subscription, pattern, **options))
        kind, _, body = self.expect(SUBSCRIBED, ERROR)
        assert kind == SUBSCRIBED, f"SUBSCRIBE {pattern} was refused: {body[6:]!r}"

    def ping(self):
        """Waits until the broker has read all that was sent."""
        self.send(ping(77))
        self.expect(PONG)
