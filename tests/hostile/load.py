"""What attacks send: the same bytes again and again, as fast as the broker takes them."""

import select
import time

from wire import Ended

CHUNK_BYTES = 64 * 1024


class Stream:
    """One connection that repeats `data`, and reads what comes back if it `is_reading`."""

    def __init__(self, connect, data, is_reading=True):
        self.connect = connect
        # Whole commands, as many as fit: a connection that breaks off starts again with a command.
        self.data = memoryview(data * max(1, CHUNK_BYTES // len(data)))
        self.is_reading = is_reading
        self.sent_bytes, self.received_bytes, self.broken = 0, 0, 0
        self.open()

    def open(self):
        self.wire = self.connect()
        self.wire.socket.setblocking(False)
        self.at = 0

    def write(self):
        try:
            sent = self.wire.socket.send(self.data[self.at :])
        except BlockingIOError:
            return
        self.sent_bytes += sent
        self.at = (self.at + sent) % len(self.data)

    def read(self):
        try:
            data = self.wire.socket.recv(256 * 1024)
        except BlockingIOError:
            return
        if not data:
            raise Ended("end of stream")
        self.received_bytes += len(data)

    def step(self, is_readable, is_writable):
        try:
            if is_readable:
                self.read()
            if is_writable:
                self.write()
        except (OSError, Ended):
            # Closed by the broker: an attacker comes again.
            self.broken += 1
            self.wire.close()
            self.open()


def run(streams, seconds):
    """Drives the streams for a time; then they are closed."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        poll = select.poll()
        by_fd = {one.wire.fileno(): one for one in streams}
        for descriptor, one in by_fd.items():
            poll.register(descriptor, select.POLLOUT | (select.POLLIN if one.is_reading else 0))
        for descriptor, event in poll.poll(left * 1_000):
            is_broken = event & (select.POLLHUP | select.POLLERR)
            by_fd[descriptor].step(event & select.POLLIN or is_broken, event & select.POLLOUT)
    for one in streams:
        one.wire.close()


def totals(scene, streams, seconds):
    """Notes what the streams sent and received."""
    scene.note("sent_mb_s", sum(one.sent_bytes for one in streams) / seconds / 1e6)
    scene.note("read_mb_s", sum(one.received_bytes for one in streams) / seconds / 1e6)
    scene.note("reconnects", sum(one.broken for one in streams))
