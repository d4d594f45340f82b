"""Compares what two servers sent in one step, and names the tolerances that the comparison needed."""

import fnmatch
import json
import re
from collections import Counter, defaultdict
from typing import NamedTuple

# Every tolerated difference, and why. `compare` names those it needed.
TOLERATED = {
    "info_values": "server_id, version, host, port and client_id name the server and the connection; only "
    "their types are compared",
    "info_extra": "fields that no client of core NATS needs: they describe nats-server's build, its "
    "JetStream level, its encryption key, or the account and address of the connection",
    "info_again": "after the first PONG of a `protocol: 1` client nats-server sends INFO once more, to "
    "name the account; blipmq has no accounts",
    "interleaving": "the order between messages of different subscription ids of one connection: blipmq "
    "keeps order per publisher and subject, not over subscriptions; in nats-server it is the order of a map",
    "beside_ok": "where a message is among +OK and -ERR: blipmq may answer a burst before it delivers it, "
    "and messages of other connections come when they come",
    "early": "a message that its own connection published after a PING comes before that PONG: only the "
    "other way round would break a client's flush",
    "later_than_pong": "a message of another connection may come after this connection's PONG: cores "
    "hand messages over, and PING waits for its own connection's only",
    "publishers": "the order between publishers that send at once is nobody's promise",
    "queue_member": "which member of a queue group gets a message is free; nats-server draws lots",
    "no_responders_sid": "with several subscriptions on the reply subject, one of them gets the 503; "
    "nats-server takes the first of a map",
    "invalid_publish_subject_twice": "nats-server reads the line of a PUB a second time when its payload "
    "comes in a later read, so whether it says this once or twice depends on TCP",
    "closed_how": "end of stream or reset: a reset only says that unread bytes were left over",
    "server_ping": "when a server sends its own PING is its choice; it is answered and left out",
    "subjects": "only where blipmq runs on several cores: each owns some subjects, so the order between "
    "messages of one publisher to different subjects, and between their 503s, is not kept",
}


class Deliberate(NamedTuple):
    """Sessions of the corpus that differ on purpose."""

    sessions: tuple  # names, with *
    differences: tuple  # each difference has to fit one of these expressions
    reason: str
    cores: tuple = ("one", "all")


# Generated sessions have none of these differences.
DELIBERATE = {
    "subjects_are_text": Deliberate(
        ("bytes that are no utf-8, *",),
        (r"answers differ: .* and \[.*-ERR 'Invalid Subject', -ERR 'Invalid Publish Subject', PONG\]", r"sid b'2': 1 and 0 messages"),
        "subjects are topics of BLIP/1 too, which are UTF-8; nats-server takes any bytes",
    ),
    "system_subjects": Deliberate(
        ("reserved prefix $SYS, *",),
        (r"answers differ: .* and \[.*-ERR 'Permissions Violation for Publish to \"\$SYS\.x\"', PONG\]", r"sid b'2': 1 and 0 messages"),
        "only the broker publishes below $SYS; nats-server lets clients do so within their account",
    ),
    "hmsg_from_a_client": Deliberate(
        ("hmsg from a client, *",),
        (r"answers differ: .* and \[.*-ERR 'Unknown Protocol Operation', CLOSED\]",),
        "nats-server takes it for an empty message to nowhere; here it is an unknown verb, as MSG is for both",
    ),
    "words_behind_ping_are_bounded": Deliberate(
        ("a control line *: ping with words",),
        (r"answers differ: .* and \[.*-ERR 'maximum control line exceeded', CLOSED\]",),
        "what follows PING is kept until its line ends, so it may be 4,096 bytes; nats-server drops it "
        "as it comes, and so bears any number",
    ),
    "responders_of_other_cores": Deliberate(
        ("no responders when only the sender listens and hears no echo", "no responders where the only subscription may not have it"),
        (r"no responders: \[\(.*\)\] and \[\]",),
        "a core that owns a subject knows which cores have subscriptions, not whether those may have a "
        "message of this publisher; so nobody says 503, if the cores of owner and subscriber differ",
        cores=("all",),
    ),
}


def deliberate(name, differences, cores="one"):
    """The entry of DELIBERATE that explains these differences of a session of this name, if there is one."""
    for entry, known in DELIBERATE.items():
        if cores in known.cores and any(fnmatch.fnmatchcase(name, one) for one in known.sessions):
            fits = all(any(re.fullmatch(r"c\d: " + one, text) for one in known.differences) for text in differences)
            return entry if fits else None
    return None


# INFO: fields that must have the same value, and fields that must have the same type.
INFO_EQUAL = ("proto", "headers", "max_payload", "auth_required", "tls_required", "nonce", "jetstream")
INFO_TYPED = {"server_id": str, "version": str, "host": str, "port": int, "client_id": int}


def pool(sid):
    """The queue group of a subscription id: scripts give its members 9G.., all others less than four digits."""
    return sid[:2] if len(sid) == 4 and sid.startswith(b"9") else None


class Received:
    """The events of one connection in one step, sorted by their order."""

    def __init__(self, events):
        self.control, self.infos, self.streams, self.no_responders = [], [], defaultdict(list), []
        self.pooled, self.order = [], []
        pongs = 0
        for kind, value in events:
            if kind == "PING":
                continue
            if kind == "INFO":
                self.infos.append(value)
            elif kind != "MSG":
                self.control.append((kind, value))
                pongs += kind == "PONG"
            elif value.is_no_responders():
                self.no_responders.append((value, pongs))
            elif pool(value.sid):
                self.pooled.append(value)
            else:
                self.streams[value.sid].append((value, pongs))
                self.order.append(value)

    def lasting_control(self):
        """The control events, without the reason of CLOSED."""
        return [(kind, "" if kind == "CLOSED" else value) for kind, value in self.control]

    def plain_messages(self):
        return sum(map(len, self.streams.values())) + len(self.no_responders)


def lag(left, right):
    """The side that has not received messages which the other has: "left", "right" or None."""
    counts = []
    for side in (left, right):
        received = {number: Received(events) for number, events in side.items()}
        count = Counter({number: one.plain_messages() for number, one in received.items()})
        count.update(pool(message.sid) for one in received.values() for message in one.pooled)
        counts.append(count)
    if counts[0] - counts[1]:
        return "right"
    return "left" if counts[1] - counts[0] else None


def without_repeats(control):
    repeated = ("-ERR", "'Invalid Publish Subject'")
    return [event for number, event in enumerate(control) if event != repeated or control[number - 1 : number] != [repeated]]


def compare(senders, left, right, cores="one"):
    """The differences between the events of both sides in a step, by connection, and the tolerances used."""
    between_subjects = cores != "one"
    differences, used = [], set()
    received = {number: (Received(left[number]), Received(right[number])) for number in left}
    for number, (ours, theirs) in received.items():
        raw = left[number], right[number]
        if any(("PING", "") in events for events in raw):
            used.add("server_ping")
        found = compare_infos(ours.infos, theirs.infos, used)
        found += compare_control(ours, theirs, used)
        found += compare_streams(number, senders, ours, theirs, used, between_subjects)
        found += compare_no_responders(ours, theirs, used, between_subjects)
        # Only what is left explains where events stand to each other.
        if not found and used.isdisjoint({"interleaving", "later_than_pong", "publishers", "subjects"}):
            kinds = [[kind for kind, _ in events if kind in ("MSG", "+OK", "-ERR")] for events in raw]
            if kinds[0] != kinds[1] and len(kinds[0]) == len(kinds[1]) and not (ours.pooled or theirs.pooled):
                used.add("beside_ok")
        differences += [f"c{number}: {one}" for one in found]
    differences += compare_pools(received, used, between_subjects)
    return differences, used


def compare_infos(left, right, used):
    first = [[info for info in infos if b'"connect_info":true' not in info] for infos in (left, right)]
    if len(left) - len(first[0]) != len(right) - len(first[1]):
        used.add("info_again")
    left, right = first
    if len(left) != len(right):
        return [f"INFO comes {len(left)} and {len(right)} times"]
    if not left:
        return []
    if left[0] != right[0]:
        used.add("info_values")
    try:
        left, right = json.loads(left[0]), json.loads(right[0])
    except ValueError:
        return ["INFO is no JSON"]
    found = [
        f"INFO has {key} {left.get(key)!r} and {right.get(key)!r}"
        for key in INFO_EQUAL
        # An absent flag is false.
        if (left.get(key) or False) != (right.get(key) or False)
    ]
    for info in (left, right):
        found += [f"INFO has {key} {info.get(key)!r}" for key, of in INFO_TYPED.items() if type(info.get(key)) is not of]
    if (left.keys() | right.keys()) - {*INFO_EQUAL, *INFO_TYPED}:
        used.add("info_extra")
    return found


def compare_control(left, right, used):
    if left.control == right.control:
        return []
    ours, theirs = left.lasting_control(), right.lasting_control()
    if ours == theirs:
        used.add("closed_how")
        return []
    if without_repeats(ours) == without_repeats(theirs):
        used.add("invalid_publish_subject_twice")
        return []
    return [f"answers differ: {show_control(ours)} and {show_control(theirs)}"]


def show_control(control):
    return "[" + ", ".join(f"{kind} {value}".strip() for kind, value in control) + "]"


def compare_streams(number, senders, left, right, used, between_subjects):
    found = []
    if left.order != right.order:
        used.add("interleaving")
    for sid in sorted(left.streams.keys() | right.streams.keys()):
        ours, theirs = left.streams.get(sid, []), right.streams.get(sid, [])
        if [message for message, _ in ours] != [message for message, _ in theirs]:
            if len(senders) > 1 and by_publisher(ours) == by_publisher(theirs):
                used.add("publishers")
            elif between_subjects and by_subject(ours) == by_subject(theirs):
                used.add("subjects")
            else:
                found.append(difference_of(sid, ours, theirs))
                continue
        # The number of PONGs before a message: PONGs do not hold back messages of other publishers.
        for (message, pongs), (_, pongs_there) in zip(sorted(ours, key=origin), sorted(theirs, key=origin)):
            tag = message.publisher()
            if pongs == pongs_there:
                continue
            if (tag[0] if tag else next(iter(senders), None)) != number:
                used.add("later_than_pong")
            elif pongs_there < pongs:
                used.add("early")
            elif len(senders) == 1:
                found.append(f"sid {sid!r}: its own {message} comes after the PONG that it has to precede")
    return found


def origin(entry):
    """The key that messages must share for their order to count on any number of cores."""
    tag = entry[0].publisher()
    return (tag[0] if tag else -1, entry[0].subject)


def by_subject(stream):
    return [message for message, _ in sorted(stream, key=origin)]


def by_publisher(stream):
    groups = defaultdict(list)
    for message, _ in stream:
        tag = message.publisher()
        groups[tag and tag[0]].append(message)
    return groups


def difference_of(sid, ours, theirs):
    for place, (one, other) in enumerate(zip(ours, theirs)):
        if one[0] != other[0]:
            return f"sid {sid!r}: message {place} is {one[0]} and {other[0]}"
    return f"sid {sid!r}: {len(ours)} and {len(theirs)} messages"


def compare_no_responders(left, right, used, between_subjects):
    lists = [[(message.subject, message.headers, pongs) for message, pongs in one.no_responders] for one in (left, right)]
    if lists[0] != lists[1]:
        # The headers name the subject of the request.
        if between_subjects and sorted(lists[0], key=lambda one: one[1]) == sorted(lists[1], key=lambda one: one[1]):
            used.add("subjects")
            return []
        return [f"no responders: {lists[0]} and {lists[1]}"]
    if left.no_responders != right.no_responders:
        used.add("no_responders_sid")
    return []


def compare_pools(received, used, between_subjects):
    """Checks that each message goes to one member of a group, in the order of its publisher."""
    found, counts = [], []
    for side in (0, 1):
        count = Counter()
        for number, pair in received.items():
            latest = {}
            for message in pair[side].pooled:
                # A member without headers gets the message without them.
                count[pool(message.sid), message.subject, message.reply, message.payload] += 1
                tag = message.publisher()
                if not tag:
                    continue
                for key in ((message.sid, tag[0]), (message.sid, tag[0], message.subject)):
                    if latest.get(key, -1) > tag[1]:
                        if between_subjects and len(key) == 2:
                            used.add("subjects")
                        else:
                            found.append(f"c{number}: group member {message.sid!r} got {tag} out of order")
                    latest[key] = tag[1]
        counts.append(count)
    if counts[0] != counts[1]:
        found.append(f"queue groups: missing {dict(counts[0] - counts[1])}, too many {dict(counts[1] - counts[0])}")
    elif any(pair[0].pooled != pair[1].pooled for pair in received.values()):
        used.add("queue_member")
    return found
