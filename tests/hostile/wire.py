"""One TCP connection to the broker, before any protocol.

Used by `blip.py` and `nats.py`, whose clients read frames or lines out of `unparsed`.
"""

import select
import socket
import struct
import time

PATIENCE_S = 60.0
RECEIVE_BYTES = 256 * 1024
FORGOTTEN = bytearray(RECEIVE_BYTES)
# Closing sends RST instead of FIN.
LINGER_NOT = struct.pack("ii", 1, 0)


class Ended(Exception):
    """The other side has closed the connection."""


class Wire:
    """A blocking socket with a buffer of what arrived and is not yet parsed.

    `address` is its own; all of 127.0.0.0/8 belong to this machine.
    """

    def __init__(self, port, receive_buffer_bytes=None, address="127.0.0.1"):
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            # Before connecting, because the window of the handshake depends on it.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(PATIENCE_S)
        if address != "127.0.0.1":
            self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unparsed = bytearray()
        self.received_bytes = 0

    def fileno(self):
        return self.socket.fileno()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionError) as why:
            raise Ended(str(why)) from why

    def is_readable(self, patience_s):
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(max(patience_s, 0) * 1_000))

    def read(self, call):
        """What a call gets from the socket; raises `Ended` once there is no more."""
        try:
            got = call()
        except ConnectionError as why:
            raise Ended(str(why)) from why
        if not got:
            raise Ended("end of stream")
        return got

    def receive(self, patience_s=PATIENCE_S):
        """Reads what has arrived, or waits for some; returns whether something came."""
        if not self.is_readable(patience_s):
            return False
        data = self.read(lambda: self.socket.recv(RECEIVE_BYTES))
        self.received_bytes += len(data)
        self.unparsed += data
        return True

    def discard(self):
        """Reads and forgets what has arrived; returns its length."""
        length = len(self.unparsed)
        self.unparsed.clear()
        while self.is_readable(0):
            length += self.read(lambda: self.socket.recv_into(FORGOTTEN))
        return length

    def is_closed_within(self, patience_s):
        """Whether the other side closes the connection, while what it says is read and forgotten."""
        deadline = time.monotonic() + patience_s
        try:
            while (left := deadline - time.monotonic()) > 0:
                self.receive(left)
                self.unparsed.clear()
        except Ended:
            return True
        return False

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.socket.close()
