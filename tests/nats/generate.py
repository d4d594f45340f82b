"""Makes sessions from a seed, and shorter ones from a session that failed."""

import json
import random
from dataclasses import replace

import corpus
import servers
from session import Send, Session, Step, at_once, closed, opened, sent

TOKENS = (b"a", b"b", b"c")
# Legal or not, a server must say the same about them.
ODD_SUBJECTS = (b"a*b", b"a>b", b"a.*", b">", b"*", b".a", b"a.", b"a..b", b"..", b"a.>.b", b"a.b*", b"a.>b", b"$a.b", b"\xc3\xa9.a", b"A.a")
HEADER_LINES = (b"A: 1", b"A:2", b"a: 3", b"Empty:", b"Empty: ", b"Spaces:   x  y ", b"X-Long: " + b"v" * 200, b"Colons: a:b:c", b"\xc3\xa9: \xc3\xa9")
STATUS_LINES = (b"NATS/1.0", b"NATS/1.0", b"NATS/1.0", b"NATS/1.0 100", b"NATS/1.0 404 No Messages", b"NATS/1.0 503", b"NATS/1.0  409  x")
# All but what `compare.DELIBERATE` has.
MALFORMED = tuple(line for line in corpus.MALFORMED if line != "hmsg from a client")
SPACES = (b" ", b" ", b" ", b"  ", b"\t", b" \t ")


class Client:
    """The state of a connection, as far as the generator knows it."""

    def __init__(self, number, can_send_headers):
        self.number, self.can_send_headers = number, can_send_headers
        self.published = 0


class Maker:
    def __init__(self, random_, cores):
        self.random, self.cores = random_, cores
        self.steps, self.clients = [], {}
        # With several publishers at once any of their messages may count first for UNSUB's max.
        self.has_max = random_.random() < 0.5

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    # --- lines ---

    def line(self, verb, *words):
        """A control line, plain or with legal oddities."""
        if self.chance(0.6):
            return b" ".join((verb, *words)) + b"\r\n"
        spelled = bytes(self.pick(bytes([byte]).upper()[0], bytes([byte]).lower()[0]) for byte in verb)
        text = spelled + b"".join(self.pick(*SPACES) + word for word in words)
        return text + self.pick(b"", b"", b" ", b"\t ") + self.pick(b"\r\n", b"\r\n", b"\n")

    def subject(self):
        return b".".join(self.pick(*TOKENS) for _ in range(self.random.randint(1, 3)))

    def pattern(self):
        if self.has_max and self.cores != "one":
            # Any of several subjects may be counted first.
            return self.subject()
        if self.chance(0.1):
            return self.pick(*ODD_SUBJECTS)
        tokens = [self.pick(*TOKENS, b"*") for _ in range(self.random.randint(1, 3))]
        return b".".join(tokens + ([b">"] if self.chance(0.25) else []))

    def sid(self):
        return self.pick(b"1", b"2", b"3", b"4", b"5")

    def subscribe(self):
        if self.chance(0.25):
            group = self.pick(b"1", b"2")
            return self.line(b"SUB", self.pattern(), b"group" + group, b"9" + group + b"0" + self.sid())
        return self.line(b"SUB", self.pattern(), self.sid())

    def unsubscribe(self):
        sid = self.sid() if self.chance(0.8) else b"9" + self.pick(b"1", b"2") + b"0" + self.sid()
        if self.has_max and self.chance(0.6):
            return self.line(b"UNSUB", sid, self.pick(b"1", b"2", b"3", b"5", b"0"))
        return self.line(b"UNSUB", sid)

    def payload(self, client, may_be_empty):
        if may_be_empty and self.chance(0.15):
            return b""
        client.published += 1
        tag = b"c%d:%d" % (client.number, client.published)
        return tag + self.pick(b"", b"", b"\r\nMSG a 1 1\r\nx", b"\x00\xff", b"+" * 40, b"." * self.pick(1_000, 40_000))

    def publish(self, client, tagged=False):
        words = [self.subject() if self.chance(0.92) else self.pick(*ODD_SUBJECTS)]
        if self.chance(0.3):
            words.append(self.subject() if self.chance(0.8) else self.pick(b"nobody", b"a..b", b"*"))
        payload = self.payload(client, not tagged)
        if not client.can_send_headers or self.chance(0.6):
            return self.line(b"PUB", *words, b"%d" % len(payload)) + payload + b"\r\n"
        headers = self.headers()
        sizes = b"%d" % len(headers), b"%d" % (len(headers) + len(payload))
        return self.line(b"HPUB", *words, *sizes) + headers + payload + b"\r\n"

    def headers(self):
        lines = [self.pick(*STATUS_LINES), *(self.pick(*HEADER_LINES) for _ in range(self.random.randint(0, 3)))]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def command(self, client):
        kind = self.random.choices("suphe", (25, 10, 50, 5, 10))[0]
        if kind == "s":
            return self.subscribe()
        if kind == "u":
            return self.unsubscribe()
        if kind == "h":
            return self.pick(b"PING\r\n", b"ping\n", b"PING \r\n", b"PONG\r\n", b"+OK\r\n")
        return self.publish(client)

    # --- steps ---

    def send(self, client, *commands):
        data = sum(map(len, commands))
        count = self.random.randint(1, 4) if data > 1 and self.chance(0.3) else 0
        self.steps.append(sent(client.number, *commands, cuts=[self.random.randrange(1, data) for _ in range(count)]))

    def connect(self, number, auth):
        # Most clients understand headers, most are not verbose.
        flags = {
            name: self.chance(likely)
            for name, likely in (("verbose", 0.2), ("pedantic", 0.3), ("echo", 0.8), ("headers", 0.85))
            if self.chance(0.9)
        }
        # On several cores a client without echo may be taken for a responder, see `compare`.
        if flags.get("headers") and self.chance(0.6) and (self.cores == "one" or flags.get("echo", True)):
            flags["no_responders"] = True
        for name, value in (("lang", "python"), ("version", "1.0"), ("name", "differential"), ("protocol", self.pick(0, 1)), ("unknown", {"a": [1]})):
            if self.chance(0.4):
                flags[name] = value
        if auth == "token":
            flags["auth_token"] = servers.TOKEN
        elif auth == "users":
            user = self.pick(*servers.USERS)
            flags.update(user=user["user"], **{"pass": user["password"]})
        items = list(flags.items())
        self.random.shuffle(items)
        text = json.dumps(dict(items), separators=self.pick((",", ":"), (", ", ": ")))
        # A connection without CONNECT has the defaults, which differ from those of client libraries.
        says_something = auth != "none" or self.chance(0.9)
        # HPUB of a client without headers ends the connection.
        self.clients[number] = Client(number, says_something and flags.get("headers", False))
        self.steps.append(opened(number))
        if says_something:
            self.steps.append(sent(number, self.line(b"CONNECT", text.encode())))

    def at_once(self):
        sends = []
        for client in self.clients.values():
            commands = [self.publish(client, tagged=True) for _ in range(self.random.randint(1, 8))]
            sends.append(sent(client.number, *commands))
        self.steps.append(at_once(*sends))

    def act(self, auth):
        client = self.random.choice(list(self.clients.values()))
        chance = self.random.random()
        if chance < 0.03:
            line = self.pick(*MALFORMED)
            self.steps.append(sent(client.number, corpus.MALFORMED[line], pongs=corpus.MALFORMED_PONGS.get(line)))
            # Whether that closed it depends on the line.
            self.steps.append(closed(client.number))
            del self.clients[client.number]
        elif chance < 0.05:
            self.steps.append(closed(client.number))
            del self.clients[client.number]
        elif chance < 0.06 and auth == "none":
            self.send(client, b'CONNECT {"verbose":false}\r\n')
        elif chance < 0.12 and len(self.clients) > 1 and not self.has_max:
            self.at_once()
        elif chance < 0.45:
            self.send(client, *(self.command(client) for _ in range(self.random.randint(2, 12))))
        else:
            self.send(client, self.command(client))
        free = [number for number in range(3) if number not in self.clients]
        if not self.clients or (free and self.chance(0.05)):
            self.connect(free[0], auth)


def session(seed, number, cores="one"):
    """A session that depends on the arguments only. `cores`: the cores of blipmq."""
    maker = Maker(random.Random(f"{seed}/{number}"), cores)
    auth = maker.pick(*("none",) * 8, "token", "users", "users")
    for connection in range(maker.random.randint(1, 3)):
        maker.connect(connection, auth)
    # Subscriptions, or little would come back.
    for client in list(maker.clients.values()):
        maker.send(client, *(maker.subscribe() for _ in range(maker.random.randint(1, 3))))
    for _ in range(maker.random.randint(4, 16)):
        maker.act(auth)
    return Session(f"seed {seed}, session {number}", tuple(maker.steps), auth)


# --- shorter ones of one that failed ---


def shorter(of):
    """Sessions with something left out: halves of the steps first, single commands last."""
    steps = of.steps
    size = len(steps) // 2
    while size:
        for start in range(0, len(steps) - size + 1, size):
            yield replace(of, steps=steps[:start] + steps[start + size :])
        size //= 2
    for number, step in enumerate(steps):
        for simpler in simpler_steps(step):
            yield replace(of, steps=(*steps[:number], simpler, *steps[number + 1 :]))


def simpler_steps(step: Step):
    for place, send in enumerate(step.sends):
        others = step.sends[:place], step.sends[place + 1 :]
        if others[0] or others[1]:
            yield replace(step, sends=others[0] + others[1])
        for simpler in simpler_sends(send):
            yield replace(step, sends=(*others[0], simpler, *others[1]))


def simpler_sends(send: Send):
    if send.cuts:
        yield replace(send, cuts=())
        for number in range(len(send.cuts)) if len(send.cuts) > 1 else ():
            yield replace(send, cuts=send.cuts[:number] + send.cuts[number + 1 :])
    # Cuts are places in the whole, so they go before commands do.
    if len(send.commands) > 1 and not send.cuts:
        for number in range(len(send.commands)):
            yield replace(send, commands=send.commands[:number] + send.commands[number + 1 :])
