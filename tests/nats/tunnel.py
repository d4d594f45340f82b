"""A plain socket whose bytes go to a server in TLS: for programs that know no TLS.

One thread for each tunnel, because what openssl reads and writes shares its state.
"""

import contextlib
import select
import socket
import ssl
import threading

CHUNK = 1 << 16


class Tunnel:
    """Bytes of a plain socket to a server in TLS and back, until one of them ends."""

    def __init__(self, plain, secure):
        self.plain, self.secure = plain, secure
        self.to_plain, self.to_secure = b"", b""
        plain.setblocking(False)
        secure.setblocking(False)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError), self.plain, self.secure:
            while self.step():
                pass
            # What the server said last.
            self.plain.setblocking(True)
            self.plain.sendall(self.to_plain)

    def step(self):
        """Moves what can be moved; False at the end of either side."""
        readers = [self.secure] if len(self.to_plain) < 16 * CHUNK else []
        readers += [self.plain] if not self.to_secure else []
        writers = [self.plain] if self.to_plain else []
        writers += [self.secure] if self.to_secure else []
        if not self.secure.pending():
            select.select(readers, writers, [])
        if self.to_plain:
            with contextlib.suppress(BlockingIOError):
                self.to_plain = self.to_plain[self.plain.send(self.to_plain) :]
        if self.to_secure:
            with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self.to_secure = self.to_secure[self.secure.send(self.to_secure) :]
        return self.read_secure() and self.read_plain()

    def read_secure(self):
        try:
            data = self.secure.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        self.to_plain += data
        return bool(data)

    def read_plain(self):
        if self.to_secure:
            return True
        try:
            self.to_secure = self.plain.recv(CHUNK)
        except BlockingIOError:
            return True
        return bool(self.to_secure)


def upgraded(raw, context):
    """The near end of a tunnel through a connection whose server says INFO in plain text first; INFO comes out."""
    info = b""
    while not info.endswith(b"\r\n"):
        byte = raw.recv(1)
        if not byte:
            raise OSError("the server ended the connection before INFO")
        info += byte
    secure = context.wrap_socket(raw, server_hostname="localhost")
    near, far = socket.socketpair()
    far.sendall(info)
    Tunnel(far, secure)
    return near
