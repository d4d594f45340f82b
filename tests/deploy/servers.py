"""Processes of the checks that run something: started on 127.0.0.1, asked over HTTP, and stopped.

Used by running.py and containers.py.
"""

import contextlib
import http.client
import pathlib
import socket
import subprocess
import time

from tools import Failed

PATIENCE_S = 60


@contextlib.contextmanager
def process(command, log, **options):
    """A process that is gone at the end; what it says is in the file."""
    with open(log, "w") as file:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            **options,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(condition, child, log, what):
    """Asks again and again until there is an answer; a process that ended gives none."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = condition()
            if answer:
                return answer
        if ended:
            break
        time.sleep(0.05)
    raise Failed(f"{what} within {PATIENCE_S} s; its log ends:\n{pathlib.Path(log).read_text()[-2000:]}")


def get(port, path, headers=None):
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
