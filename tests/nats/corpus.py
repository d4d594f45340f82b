"""Sessions written by hand. The name of each is what it tests."""

from session import Session, at_once, closed, opened, sent

QUIET = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
VERBOSE = b'CONNECT {"verbose":true,"pedantic":false,"headers":true}\r\n'
PEDANTIC = b'CONNECT {"verbose":false,"pedantic":true,"headers":true}\r\n'
NO_RESPONDERS = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
NO_HEADERS = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
NO_ECHO = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'


def pub(subject, payload=b"", reply=None):
    words = [b"PUB", subject, *([reply] if reply else []), b"%d" % len(payload)]
    return b" ".join(words) + b"\r\n" + payload + b"\r\n"


def hpub(subject, headers, payload=b"", reply=None):
    words = [b"HPUB", subject, *([reply] if reply else []), b"%d %d" % (len(headers), len(headers) + len(payload))]
    return b" ".join(words) + b"\r\n" + headers + payload + b"\r\n"


# Input that a server has to refuse or to bear, by name. Each is a session of its own, with a PING behind
# it; generated sessions use them too.
MALFORMED = {
    "unknown verb": b"FOO\r\n",
    "empty line": b"\r\n",
    "empty line of one byte": b"\n",
    "blank before the verb": b" PING\r\n",
    "verb cut short": b"PIN\r\n",
    "verb run into its words": b"SUBa 1\r\n",
    "ok that is none": b"+FOO\r\n",
    "err without words": b"-ERR\r\n",
    "err with a text": b"-ERR 'x'\r\n",
    "err with a blank only": b"-ERR \r\n",
    "info with an object": b"INFO {}\r\n",
    "info without words": b"INFO\r\n",
    "info that is no json": b"INFO x\r\n",
    "msg from a client": b"MSG a 1 0\r\n\r\n",
    "hmsg from a client": b"HMSG a 1 0 0\r\n\r\n",
    "verb of a route": b"RS+ $G a\r\n",
    "verb of a leaf": b"LS+ a\r\n",
    "verb of an account": b"A+ a\r\n",
    "verb of http": b"GET / HTTP/1.1\r\n\r\n",
    "pub without words": b"PUB\r\n",
    "pub with a blank only": b"PUB \r\n",
    "pub without size": b"PUB a\r\n",
    "pub without subject": b"PUB 0\r\n\r\n",
    "pub with four words": b"PUB a b c 1\r\nx\r\n",
    "pub size not a number": b"PUB a x\r\n",
    "pub size negative": b"PUB a -1\r\n",
    "pub size with a plus": b"PUB a +1\r\nx\r\n",
    "pub size in hex": b"PUB a 0x1\r\nx\r\n",
    "pub size over the limit": b"PUB a 1048577\r\n",
    "pub size of ten digits": b"PUB a 0000000001\r\nx\r\n",
    "pub size of nine digits": b"PUB a 999999999\r\n",
    "pub size over 64 bits": b"PUB a 99999999999999999999\r\n",
    "payload longer than announced": b"PUB a 2\r\nxyz\r\n",
    "payload ended by lf": b"PUB a 1\r\nx\nPING\r\n",
    "payload ended by cr and more": b"PUB a 1\r\nx\r\r\n",
    "hpub without words": b"HPUB\r\n",
    "hpub with two words": b"HPUB a 5\r\n",
    "hpub with five words": b"HPUB a b c 0 0\r\n\r\n",
    "hpub header size not a number": b"HPUB a x 1\r\n",
    "hpub header size negative": b"HPUB a -1 1\r\n",
    "hpub total not a number": b"HPUB a 1 x\r\n",
    "hpub header longer than total": b"HPUB a 12 2\r\n",
    "hpub over the limit": b"HPUB a 12 1048577\r\n",
    "hpub payload longer than announced": b"HPUB a 12 13\r\nNATS/1.0\r\n\r\nxyz\r\n",
    "sub without words": b"SUB\r\n",
    "sub with a blank only": b"SUB \r\n",
    "sub with one word": b"SUB a\r\n",
    "sub with four words": b"SUB a b c d\r\n",
    "unsub without words": b"UNSUB\r\n",
    "unsub with a blank only": b"UNSUB \r\n",
    "unsub with three words": b"UNSUB 1 2 3\r\n",
    "unsub max not a number": b"UNSUB 1 x\r\n",
    "unsub max negative": b"UNSUB 1 -1\r\n",
    "connect without words": b"CONNECT\r\n",
    "connect with half an object": b"CONNECT {\r\n",
    "connect that is no json": b"CONNECT x\r\n",
    "connect with an array": b"CONNECT []\r\n",
    "connect with more than an object": b'CONNECT {"verbose":false}x\r\n',
    "connect with a number for a flag": b'CONNECT {"verbose":1}\r\n',
    "connect with a text for a number": b'CONNECT {"protocol":"1"}\r\n',
    "connect with a number for a text": b'CONNECT {"name":1}\r\n',
    "connect with protocol 2": b'CONNECT {"verbose":false,"protocol":2}\r\n',
    "connect with protocol -1": b'CONNECT {"verbose":false,"protocol":-1}\r\n',
    "no responders without headers": b'CONNECT {"verbose":false,"no_responders":true,"headers":false}\r\n',
    "control line too long": b"SUB a " + b"b" * 5000 + b"\r\n",
    "control line too long without an end": b"PUB " + b"a" * 5000,
}
# For these the number of PONGs does not follow from the first word.
MALFORMED_PONGS = {"payload ended by lf": 0}

# All must work, on a connection with a subscription 1 on `a`.
UNUSUAL = {
    "verbs in any case": b"sUb b 2\r\npuB b 1\r\nx\r\nuNsUB 2\r\npInG\r\n",
    "tabs and many blanks": b"SUB \t b \t 2\r\nPUB\tb\t \tr  1\r\nx\r\n",
    "trailing blanks": b"SUB b 2 \t \r\nPUB b 1  \r\nx\r\nUNSUB 2 \r\nPING \r\n",
    "control lines ended by lf": b"SUB b 2\nPUB b 1\nx\r\nUNSUB 2\nPING\n",
    "words behind PING and PONG": b"PING x\r\nPONG y\r\nPINGx\r\n",
    "a carriage return inside PING": b"PING\rPING\r\n",
    "ok from a client": b"+OK\r\n+ok x\r\n+Ok\r\n",
    "size with leading zeros": b"PUB a 000000001\r\nx\r\n",
    "subscription ids of letters": b"SUB b x-y\r\nPUB b 1\r\nx\r\nUNSUB x-y\r\nPUB b 1\r\nx\r\n",
    "bytes that are no utf-8": b"SUB \xff 2\r\nPUB \xff 1\r\n\xff\r\n",
    "a nul in a subject": b"SUB b\x00 2\r\nPUB b\x00 1\r\nx\r\nPUB b 1\r\nx\r\n",
    "a subject of many tokens": b"SUB >  2\r\n" + pub(b".".join([b"t"] * 32), b"x"),
    "a long subject": b"SUB x.* 2\r\n" + pub(b"x." + b"y" * 3000, b"x"),
    "a payload of control lines": pub(b"a", b"PING\r\nPUB a 0\r\n\r\n"),
    "reserved prefix $SYS": b"SUB $SYS.> 2\r\n" + pub(b"$SYS.x", b"x"),
    "reply that is no subject": pub(b"a", b"x", b"b..c") + pub(b"a", b"x", b"*"),
}
# Not here: $GNR, _GR_, $NRG and replies below _R_, which nats-server keeps for its clusters.
UNUSUAL_PONGS = {"verbs in any case": 1, "trailing blanks": 1, "control lines ended by lf": 1, "words behind PING and PONG": 2, "a carriage return inside PING": 1}

CONNECTS = {
    "defaults": b"CONNECT {}\r\n",
    "quiet": QUIET,
    "verbose": VERBOSE,
    "pedantic": PEDANTIC,
    "no headers": NO_HEADERS,
    "keys in capitals": b'CONNECT {"VERBOSE":false,"Pedantic":false}\r\n',
    "nulls": b'CONNECT {"verbose":null,"pedantic":null}\r\n',
    "null": b"CONNECT null\r\n",
    "unknown keys": b'CONNECT {"verbose":false,"x":{"y":[1,2]}}\r\n',
    "no blank": b'CONNECT{"verbose":false}\r\n',
    "tabs and trailing blanks": b'CONNECT\t \t{"verbose":false} \t\r\n',
    "lf": b'CONNECT {"verbose":false}\n',
    "lower case": b'connect {"verbose":false}\r\n',
    "a key twice": b'CONNECT {"verbose":true,"verbose":false}\r\n',
    "blanks in the object": b'CONNECT { "verbose" : false , "pedantic" : false }\r\n',
    "an escaped text": b'CONNECT {"verbose":false,"name":"\\u00e9\\n\\"x\\""}\r\n',
    "protocol 1": b'CONNECT {"verbose":false,"protocol":1}\r\n',
    "an account": b'CONNECT {"verbose":false,"account":"x"}\r\n',
    "credentials nobody asked for": b'CONNECT {"verbose":false,"user":"u","pass":"p","auth_token":"t","jwt":"j","nkey":"n","sig":"s"}\r\n',
}

SUBJECTS = (b"a", b"a.b", b"a.b.c", b"a*b", b"a>b", b"a.*", b"a.>", b"*", b">", b"*.b", b">.a", b"a.>.b", b".a", b"a.", b"a..b", b".", b"..", b"a.b*", b"a.*b", b"a.>b", b"**", b"*.*", b"$a", b"_a", b"a-b", b"A", b"a,b", b"a/b", b"{a}", b'a"b', b"\xc3\xa9")

SESSIONS = []


def add(name, *steps, auth="none"):
    SESSIONS.append(Session(name, steps, auth))


def alone(name, *commands, connect=QUIET, auth="none", pongs=None):
    """One connection, all commands in one step."""
    add(name, opened(0), sent(0, connect), sent(0, *commands, pongs=pongs), auth=auth)


# --- lines ---

for mode, connect in (("quiet", QUIET), ("verbose", VERBOSE)):
    for what, line in MALFORMED.items():
        alone(f"{what}, {mode}", b"SUB a 1\r\n", pub(b"a", b"before"), line, connect=connect, pongs=MALFORMED_PONGS.get(what))
for what, line in MALFORMED.items():
    add(f"{what}, before CONNECT", opened(0), sent(0, line, pongs=MALFORMED_PONGS.get(what)))
for mode, connect in (("quiet", QUIET), ("verbose", VERBOSE), ("pedantic", PEDANTIC)):
    for what, lines in UNUSUAL.items():
        alone(f"{what}, {mode}", b"SUB a 1\r\n", lines, connect=connect, pongs=UNUSUAL_PONGS.get(what, 0))
for what, lines in UNUSUAL.items():
    commands = QUIET + b"SUB a 1\r\n" + lines
    if len(commands) < 300:
        add(f"{what}, a byte at a time", opened(0), sent(0, commands, cuts=range(len(commands)), pongs=UNUSUAL_PONGS.get(what, 0)))
# 4096 bytes may stand behind the verb and its blanks.
for what, line in {
    "sub": b"SUB a " + b"b" * 4094,
    "pub": b"PUB " + b"a" * 4094 + b" 0",
    "unsub": b"UNSUB " + b"1" * 4096,
    "ping with words": b"PING " + b"x" * 9000,
    "connect": b'CONNECT {"verbose":false,"name":"' + b"x" * (4096 - 27 - 2) + b'"}',
}.items():
    end = b"\r\n\r\n" if what == "pub" else b"\r\n"
    alone(f"a control line as long as may be: {what}", line + end)
    longer = line.replace(b"x", b"xx", 1).replace(b"SUB a b", b"SUB a bb").replace(b"PUB a", b"PUB aa").replace(b"UNSUB 1", b"UNSUB 11")
    alone(f"a control line one byte too long: {what}", longer + end)

# --- CONNECT ---

for what, line in CONNECTS.items():
    add(
        f"connect with {what}",
        opened(0),
        sent(0, line),
        sent(0, b"SUB a.> 1\r\n", pub(b"a.b", b"x"), pub(b"a.*", b"y"), b"PING\r\n"),
        sent(0, hpub(b"a.b", b"NATS/1.0\r\nA: b\r\n\r\n", b"x")),
    )
add("without CONNECT all works and is answered", opened(0), sent(0, b"SUB a 1\r\n"), sent(0, pub(b"a", b"x"), b"UNSUB 1\r\n"), sent(0, pub(b"a..b")))
add("a subscription before CONNECT is gone after a second CONNECT only", opened(0), sent(0, b"SUB a 1\r\n"), sent(0, QUIET, pub(b"a", b"x")), sent(0, QUIET, pub(b"a", b"y")), sent(0, b"SUB a 1\r\n", pub(b"a", b"z")))
add("a second CONNECT changes what it names and keeps the rest", opened(0), sent(0, NO_ECHO), sent(0, b"SUB a 1\r\n", pub(b"a", b"x")), sent(0, b'CONNECT {"verbose":true}\r\n'), sent(0, b"SUB a 1\r\n", pub(b"a", b"y")))
add("echo false", opened(0), opened(1), sent(0, NO_ECHO, b"SUB a 1\r\n"), sent(1, QUIET, b"SUB a 1\r\n"), sent(0, pub(b"a", b"x")), sent(1, pub(b"a", b"y")))
add("echo false in a queue group leaves the message to others", opened(0), opened(1), sent(0, NO_ECHO, b"SUB a q 9101\r\n"), sent(0, pub(b"a", b"nobody")), sent(1, QUIET, b"SUB a q 9102\r\n"), sent(0, *(pub(b"a", b"c0:%d" % n) for n in range(9))))
add("verbose answers each line before the next", opened(0), sent(0, VERBOSE), sent(0, b"SUB a 1\r\n", b"SUB a 1\r\n", pub(b"a", b"x"), b"PING\r\n", b"UNSUB 1 5\r\n", b"UNSUB 1\r\n", b"UNSUB 1\r\n", b"PONG\r\n"))
add("info again after the first pong of protocol 1", opened(0), sent(0, b'CONNECT {"verbose":true,"protocol":1}\r\n'), sent(0, b"PING\r\n"), sent(0, b"PING\r\n"))

# --- subjects ---

for mode, connect in (("quiet", QUIET), ("pedantic", PEDANTIC), ("verbose", VERBOSE)):
    for subject in SUBJECTS:
        text = subject.decode()
        # The size distinguishes the messages where the payload may be missing.
        everything = [pub(one, b"%d" % number) for number, one in enumerate(SUBJECTS)]
        alone(f"sub {text}, {mode}", b"SUB " + subject + b" 1\r\n", *everything, connect=connect)
        alone(f"sub >, pub {text}, {mode}", b"SUB > 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB *.* 4\r\nSUB * 5\r\nSUB *.b 6\r\n", pub(subject, b"x"), connect=connect)

# --- subscriptions ---

alone("unsub of an unknown sid", b"UNSUB 7\r\n", b"UNSUB 7 3\r\n", pub(b"a"))
alone("unsub of an unknown sid, verbose", b"UNSUB 7\r\n", connect=VERBOSE)
alone("max set before the subscription is not kept", b"UNSUB 1 1\r\n", b"SUB a 1\r\n", pub(b"a", b"x"), pub(b"a", b"y"))
alone("a sid used twice keeps its first subject", b"SUB a 1\r\n", b"SUB b 1\r\n", pub(b"a", b"x"), pub(b"b", b"y"), b"UNSUB 1\r\n", pub(b"a", b"z"), pub(b"b", b"z"))
alone("a sid used twice keeps its first subject, verbose", b"SUB a 1\r\n", b"SUB b 1\r\n", pub(b"a", b"x"), pub(b"b", b"y"), connect=VERBOSE)
alone("a sid used twice with an invalid subject", b"SUB a 1\r\n", b"SUB a..b 1\r\n", pub(b"a", b"x"), connect=VERBOSE)
alone("a sid is free again after an invalid subject", b"SUB a..b 1\r\n", b"SUB a 1\r\n", pub(b"a", b"x"), connect=VERBOSE)
alone("a sid is free again after its max", b"SUB a 1\r\n", b"UNSUB 1 1\r\n", pub(b"a", b"x"), b"SUB b 1\r\n", pub(b"a", b"y"), pub(b"b", b"z"))
alone("a sid used twice does not reset its max", b"SUB a 1\r\n", b"UNSUB 1 1\r\n", b"SUB a 1\r\n", pub(b"a", b"x"), pub(b"a", b"y"))
alone("one subject under many sids", b"SUB a 1\r\nSUB a 2\r\nSUB a 3\r\n", pub(b"a", b"x"), b"UNSUB 2\r\n", pub(b"a", b"y"))
alone("overlapping patterns each get it", b"SUB a.b 1\r\nSUB a.* 2\r\nSUB a.> 3\r\nSUB > 4\r\nSUB *.b 5\r\n", pub(b"a.b", b"x"))
for published, most in ((0, 1), (0, 2), (2, 1), (2, 2), (2, 3), (1, 0), (0, 0)):
    alone(
        f"unsub max {most} after {published} messages",
        b"SUB a 1\r\n",
        *(pub(b"a", b"before %d" % n) for n in range(published)),
        b"UNSUB 1 %d\r\n" % most,
        *(pub(b"a", b"after %d" % n) for n in range(4)),
    )
alone("max made higher", b"SUB a 1\r\nUNSUB 1 1\r\nUNSUB 1 3\r\n", *(pub(b"a", b"%d" % n) for n in range(5)))
alone("max made lower", b"SUB a 1\r\nUNSUB 1 3\r\nUNSUB 1 1\r\n", *(pub(b"a", b"%d" % n) for n in range(5)))
alone("max taken back by what is no number", b"SUB a 1\r\nUNSUB 1 3\r\nUNSUB 1 x\r\n", pub(b"a", b"x"))
alone("max of ten digits unsubscribes", b"SUB a 1\r\nUNSUB 1 1000000000\r\n", pub(b"a", b"x"))
alone("max of nine digits", b"SUB a 1\r\nUNSUB 1 999999999\r\n", pub(b"a", b"x"))
add("max reached by another connection", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\nUNSUB 1 3\r\n"), sent(1, QUIET), sent(1, *(pub(b"a", b"%d" % n) for n in range(5))))
for reuse in (b"9101", b"9102"):
    alone(f"queue subscription and sid {reuse.decode()} again", b"SUB a q 9101\r\nSUB a q " + reuse + b"\r\n", *(pub(b"a", b"c0:%d" % n) for n in range(6)), b"UNSUB 9101\r\n", *(pub(b"a", b"c0:1%d" % n) for n in range(6)))
add("a queue group gives each message to one member", *(opened(n) for n in range(3)), *(sent(n, QUIET, b"SUB a q 910%d\r\n" % n) for n in range(3)), sent(0, *(pub(b"a", b"c0:%d" % n) for n in range(20))), closed(2), sent(0, *(pub(b"a", b"c0:2%d" % n) for n in range(9))))
add("groups of two names and a plain subscription each get it", *(opened(n) for n in range(3)), sent(0, QUIET, b"SUB a q 9101\r\nSUB a r 9201\r\nSUB a 1\r\n"), sent(1, QUIET, b"SUB a q 9102\r\nSUB * r 9202\r\n"), sent(2, QUIET, *(pub(b"a", b"c2:%d" % n) for n in range(12))))
add("one queue name over several patterns is one group", opened(0), opened(1), sent(0, QUIET, b"SUB a.b q 9101\r\n"), sent(1, QUIET, b"SUB a.* q 9102\r\nSUB > q 9103\r\n"), sent(0, *(pub(b"a.b", b"c0:%d" % n) for n in range(12))), sent(0, *(pub(b"a.c", b"c0:3%d" % n) for n in range(6))))
add("max of one member leaves the rest to the others", opened(0), opened(1), sent(0, QUIET, b"SUB a q 9101\r\nUNSUB 9101 2\r\n"), sent(1, QUIET, b"SUB a q 9102\r\n"), sent(1, *(pub(b"a", b"c1:%d" % n) for n in range(20))))
alone("max of all members ends the group", b"SUB a q 9101\r\nSUB a q 9102\r\nUNSUB 9101 2\r\nUNSUB 9102 2\r\n", *(pub(b"a", b"c0:%d" % n) for n in range(20)))
add("the last of a group gets what its connection published before", opened(0), sent(0, QUIET), sent(0, *(b"SUB a.%d q%d 910%d\r\n" % (n, n, n) for n in range(9))), *(sent(0, pub(b"a.%d" % n, b"c0:%d" % n), b"UNSUB 910%d\r\n" % n, pub(b"b.%d" % n)) for n in range(9)))
alone("queue names that look like patterns", b"SUB a * 9101\r\nSUB a > 9201\r\n", pub(b"a", b"c0:1"))
add("a message of 1 MiB", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, QUIET), sent(1, pub(b"a", b"x" * (1 << 20))), sent(1, pub(b"a", b"y")))
add("many messages keep their order", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\nSUB > 2\r\n"), sent(1, QUIET), sent(1, *(pub(b"a", b"c1:%d" % n) for n in range(500))), sent(0, *(pub(b"a", b"c0:%d" % n) for n in range(500))))
add("three publishers at once", *(opened(n) for n in range(3)), *(sent(n, QUIET, b"SUB a 1\r\nSUB * 2\r\nSUB a q 910%d\r\n" % n) for n in range(3)), *(at_once(*(sent(c, *(pub(b"a", b"c%d:%d%02d" % (c, turn, n)) for n in range(30))) for c in range(3))) for turn in range(1, 4)))
add("pongs between own messages", opened(0), sent(0, QUIET, b"SUB a 1\r\nSUB > 2\r\n"), sent(0, *(part for n in range(50) for part in (pub(b"a", b"c0:%d" % n), b"PING\r\n"))))

# --- headers, replies, no responders ---

for what, block in {
    "plain": b"NATS/1.0\r\nA: b\r\n\r\n",
    "no lines": b"NATS/1.0\r\n\r\n",
    "status": b"NATS/1.0 404\r\n\r\n",
    "status and text": b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    "no space after the colon": b"NATS/1.0\r\nA:b\r\n\r\n",
    "names repeated": b"NATS/1.0\r\nA: 1\r\na: 2\r\nA: 3\r\n\r\n",
    "values empty": b"NATS/1.0\r\nA:\r\nB: \r\n\r\n",
    "no empty line at the end": b"NATS/1.0\r\nA: b\r\n",
    "another version": b"NATS/2.0\r\n\r\n",
    "no version": b"A: b\r\n\r\n",
    "anything": b"hello",
    "nothing": b"",
    "bytes that are no utf-8": b"NATS/1.0\r\nA: \xff\x00\r\n\r\n",
}.items():
    for payload in (b"", b"x"):
        commands = hpub(b"a", block, payload), hpub(b"a", block, payload, b"r")
        add(f"headers: {what}, payload {payload!r}", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, NO_HEADERS, b"SUB a 1\r\n"), sent(0, *commands), sent(0, pub(b"a", b"still here")))
add("hpub sizes are passed on as written", opened(0), sent(0, QUIET, b"SUB a 1\r\n"), sent(0, b"HPUB a 0012 00013\r\nNATS/1.0\r\n\r\nx\r\n"))
alone("hpub without headers in CONNECT", hpub(b"a", b"NATS/1.0\r\n\r\n"), connect=NO_HEADERS)
add("hpub before CONNECT", opened(0), sent(0, hpub(b"a", b"NATS/1.0\r\n\r\n")))
alone("no responders", b"SUB r 1\r\n", pub(b"nobody", b"x", b"r"), pub(b"nobody", b"", b"r"), hpub(b"nobody", b"NATS/1.0\r\n\r\n", b"", b"r"), pub(b"nobody.else", b"x", b"r"), pub(b"nobody"), connect=NO_RESPONDERS)
alone("no responders is sent to a subscriber of the reply only", b"SUB r 1\r\n", pub(b"nobody", b"x", b"q"), connect=NO_RESPONDERS)
alone("no responders over a pattern", b"SUB _INBOX.x.* 1\r\n", pub(b"nobody", b"x", b"_INBOX.x.1"), connect=NO_RESPONDERS)
alone("no responders with several subscriptions to the reply", b"SUB r 1\r\nSUB r 2\r\nSUB r 3\r\nSUB r 4\r\nSUB * 5\r\nSUB > 6\r\nUNSUB 5\r\nUNSUB 6\r\n", *[pub(b"nobody.here", b"x", b"r")] * 8, connect=NO_RESPONDERS)
alone("no responders is not sent to a queue subscription", b"SUB r q 9101\r\n", pub(b"nobody", b"x", b"r"), connect=NO_RESPONDERS)
alone("no responders does not count for max", b"SUB r 1\r\nUNSUB 1 1\r\n", pub(b"nobody", b"x", b"r"), pub(b"r", b"y"), pub(b"r", b"z"), connect=NO_RESPONDERS)
alone("no responders not asked for", b"SUB r 1\r\n", pub(b"nobody", b"x", b"r"))
alone("no responders, verbose and pedantic", b"SUB r 1\r\n", pub(b"nobody", b"x", b"r"), pub(b"a..b", b"x", b"r"), connect=b'CONNECT {"headers":true,"no_responders":true}\r\n')
add("no responders when only the sender listens and hears no echo", opened(0), sent(0, b'CONNECT {"verbose":false,"echo":false,"headers":true,"no_responders":true}\r\n'), sent(0, b"SUB a 1\r\nSUB r 2\r\n", pub(b"a", b"x", b"r")))
add("no responders is for the sender, not for another subscriber of the reply", opened(0), opened(1), sent(0, NO_RESPONDERS), sent(1, NO_RESPONDERS, b"SUB r 1\r\n"), sent(0, pub(b"nobody", b"x", b"r")))
add("request and reply", opened(0), opened(1), sent(0, NO_RESPONDERS, b"SUB r.* 1\r\n"), sent(1, NO_RESPONDERS, b"SUB a 1\r\n"), sent(0, pub(b"a", b"?", b"r.1")), sent(1, pub(b"r.1", b"!")), closed(1), sent(0, pub(b"a", b"?", b"r.2")))
add("no responders after the last of a queue group is gone", opened(0), opened(1), sent(0, NO_RESPONDERS, b"SUB r 1\r\n"), sent(1, QUIET, b"SUB a q 9101\r\n"), sent(0, pub(b"a", b"c0:1", b"r")), sent(1, b"UNSUB 9101\r\n"), sent(0, pub(b"a", b"c0:2", b"r")))

# --- segments and ends ---

BURST = QUIET + b"SUB a 1\r\n" + pub(b"a", b"hello", b"r") + hpub(b"a", b"NATS/1.0\r\nA: b\r\n\r\n", b"hi") + pub(b"a") + b"UNSUB 1\r\n"
add("a byte at a time", opened(0), sent(0, BURST, cuts=range(len(BURST))))
for cut in range(1, len(BURST), 3):
    add(f"cut at {cut}", opened(0), sent(0, BURST, cuts=[cut]))
add("a payload that is waited for", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, QUIET), sent(1, b"PUB a 5\r\nhe", sync=False), sent(0, pub(b"a", b"meanwhile")[:-2], sync=False), sent(1, b"llo\r\n"), sent(0, b"\r\n"))
add("a verb that is waited for", opened(0), sent(0, QUIET), sent(0, b"PI", sync=False), sent(0, b"NG\r\n", pongs=1))
add("half a payload is forgotten with its connection", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, QUIET), sent(1, b"PUB a 5\r\nhe", sync=False), closed(1), sent(0, pub(b"a", b"next")))
add("what was sent before the end is delivered", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, QUIET), sent(1, pub(b"a", b"last"), sync=False), closed(1), sent(0, b""))
add("what is behind an error is not done", opened(0), opened(1), sent(0, QUIET, b"SUB a 1\r\n"), sent(1, QUIET), sent(1, pub(b"a", b"before"), b"FOO\r\n", pub(b"a", b"behind")), sent(0, pub(b"a", b"next")))

# --- permissions ---

TOKEN_SENT = b'CONNECT {"verbose":false,"auth_token":"t0k"}\r\n'


def login(user, password, more=b'"verbose":false,"pedantic":false,"headers":true,"no_responders":true'):
    return b'CONNECT {"user":"%s","pass":"%s",%s}\r\n' % (user.encode(), password.encode(), more)


for kind, lines in {
    "token": {
        "the token": TOKEN_SENT,
        "a wrong token": b'CONNECT {"verbose":false,"auth_token":"t0k2"}\r\n',
        "an empty token": b'CONNECT {"verbose":false,"auth_token":""}\r\n',
        "the token as password": b'CONNECT {"verbose":false,"user":"t0k","pass":"t0k"}\r\n',
        "the token as user": b'CONNECT {"verbose":false,"user":"t0k"}\r\n',
        "the token as password only": b'CONNECT {"verbose":false,"pass":"t0k"}\r\n',
        "no token": b'CONNECT {"verbose":true}\r\n',
        "ping first": b"PING\r\n",
        "sub first": b"SUB a 1\r\n",
        "an unknown verb first": b"FOO\r\n",
        "a verb that begins like CONNECT": b"COO\r\n",
        "half an object": b"CONNECT {\r\n",
    },
    "users": {
        "the right password": login("alice", "wonderland"),
        "a wrong password": login("alice", "x"),
        "an empty password": login("alice", ""),
        "an unknown user": login("mallory", "wonderland"),
        "no user": b'CONNECT {"verbose":false}\r\n',
        "a token": TOKEN_SENT,
        "user only": b'CONNECT {"verbose":true,"user":"alice"}\r\n',
        "ping first": b"PING\r\n",
        "pub first": pub(b"a"),
    },
}.items():
    for what, line in lines.items():
        add(f"auth by {kind}: {what}", opened(0), sent(0, line), sent(0, b"SUB a 1\r\n", pub(b"a", b"x")), auth=kind)
add("auth by token: a second CONNECT with a wrong one", opened(0), sent(0, TOKEN_SENT), sent(0, b'CONNECT {"auth_token":"x"}\r\n'), auth="token")
add("auth by token: a second CONNECT without", opened(0), sent(0, TOKEN_SENT, b"SUB a 1\r\n"), sent(0, b'CONNECT {"verbose":true}\r\n', pub(b"a", b"x")), auth="token")
add("auth by users: a second CONNECT as another", opened(0), sent(0, login("alice", "wonderland"), b"SUB open.> 1\r\n"), sent(0, login("bob", "builder"), pub(b"open.a", b"x"), pub(b"closed.a", b"x")), auth="users")

PERMISSION_SUBJECTS = (b"open.a", b"open.secret", b"open.x.deep", b"open.one", b"closed.a", b"both", b"other", b"open.>", b"open.*", b"closed.>", b">", b"*", b"*.secret", b"_INBOX.x", b"open.secret.more")
for user, password in (("bob", "builder"), ("carol", "c"), ("dave", "d"), ("erin", "e")):
    for mode, flags in (("quiet", b'"verbose":false,"pedantic":false'), ("verbose", b'"verbose":true')):
        for subject in PERMISSION_SUBJECTS:
            text = subject.decode()
            add(
                f"permissions of {user}: sub {text}, {mode}",
                opened(0),
                opened(1),
                sent(0, login(user, password, flags)),
                sent(1, login("alice", "wonderland")),
                sent(0, b"SUB " + subject + b" 1\r\n", b"SUB " + subject + b" group 9101\r\n"),
                # Denied subjects within an allowed pattern are left out one by one.
                sent(1, *(pub(one, b"c1:%d" % number) for number, one in enumerate(PERMISSION_SUBJECTS) if b"*" not in one and b">" not in one)),
                auth="users",
            )
            add(
                f"permissions of {user}: pub {text}, {mode}",
                opened(0),
                opened(1),
                sent(0, login(user, password, flags)),
                sent(1, login("alice", "wonderland"), b"SUB > 1\r\n"),
                sent(0, pub(subject, b"x"), pub(subject, b"y", b"open.one"), pub(b"open.one", b"z", subject)),
                auth="users",
            )
for subject, queue in ((b"open.a", b"team"), (b"open.a", b"other"), (b"open.a", b""), (b"open.one", b"bad"), (b"open.one", b"good"), (b"open.*", b"bad"), (b"open.*", b"team"), (b"jobs", b"workers"), (b"jobs", b"v1.x"), (b"jobs", b"v1.*"), (b"jobs", b"v2.x"), (b"jobs", b"")):
    add(
        f"permissions in a queue group: {subject.decode()} {queue.decode()}",
        opened(0),
        opened(1),
        sent(0, login("frank", "f"), b"SUB " + subject + (b" " + queue if queue else b"") + b" 1\r\n"),
        sent(1, login("alice", "wonderland"), pub(b"open.a", b"x"), pub(b"open.one", b"y"), pub(b"jobs", b"z")),
        auth="users",
    )
for user, password in (("grace", "g"), ("heidi", "h")):
    add(
        f"answers to requests, of {user}",
        opened(0),
        opened(1),
        sent(0, login(user, password), b"SUB service 1\r\n", pub(b"_INBOX.a", b"before"), pub(b"open.one", b"own")),
        sent(1, login("alice", "wonderland"), b"SUB _INBOX.> 1\r\n", b"SUB open.> 2\r\n"),
        sent(1, pub(b"service", b"?", b"_INBOX.a"), pub(b"service", b"?", b"_INBOX.b"), pub(b"service", b"?")),
        sent(0, *(pub(b"_INBOX.a", b"%d" % number) for number in range(4)), pub(b"_INBOX.b", b"b"), pub(b"_INBOX.c", b"c"), pub(b"open.one", b"own")),
        sent(1, pub(b"service", b"again", b"_INBOX.a")),
        sent(0, pub(b"_INBOX.a", b"again")),
        auth="users",
    )
for what, line in {
    "nothing": b'CONNECT {"verbose":false}\r\n',
    "nothing, and wants answers": b'CONNECT {"verbose":true}\r\n',
    "a password only": b'CONNECT {"verbose":false,"pass":"d"}\r\n',
    "a token": TOKEN_SENT,
    "a wrong password": login("alice", "x"),
    "the right password of another": login("alice", "wonderland"),
    "ping first": b"PING\r\n",
    "pub first": pub(b"open.one", b"first"),
    "a pub that is not allowed first": pub(b"other", b"first"),
}.items():
    add(f"a user for those without credentials: {what}", opened(0), sent(0, line), sent(0, b"SUB open.> 1\r\n", pub(b"open.one", b"x"), pub(b"other", b"y")), auth="guest")
add("no responders where the publish was not allowed", opened(0), sent(0, login("bob", "builder")), sent(0, b"SUB _INBOX.r 1\r\n", pub(b"closed.a", b"x", b"_INBOX.r"), pub(b"open.a", b"x", b"_INBOX.r")), auth="users")
add("no responders where the only subscription may not have it", opened(0), opened(1), sent(0, login("alice", "wonderland"), b"SUB r 1\r\n"), sent(1, login("bob", "builder"), b"SUB open.> 1\r\n"), sent(0, pub(b"open.secret", b"x", b"r")), auth="users")
