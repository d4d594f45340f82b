"""How long /healthz takes, asked again and again, each time with a connection of its own."""

import socket
import time

from watcher import Watcher, answer, percentile

PERIOD_S = 0.05
PATIENCE_S = 10.0
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def probe(port):
    """The seconds of one request, and its status; 0 if there was no answer."""
    start = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(REQUEST)
            text = b""
            while data := connection.recv(65_536):
                text += data
        status = int(text.split(b" ", 2)[1])
    except (OSError, IndexError, ValueError):
        status = 0
    return time.monotonic() - start, status


def serve(pipe, port):
    """Probes until it is killed; `begin` and `end` delimit what `end` reports."""
    answer(pipe)
    times, failures = [], 0
    while True:
        seconds, status = probe(port)
        times.append(seconds)
        failures += status != 200
        if pipe.poll(PERIOD_S):
            (command,) = pipe.recv()
            times.sort()
            worst = times[-1] if times else 0.0
            answer(pipe, {"median_s": percentile(times, 0.5), "worst_s": worst, "failures": failures})
            if command == "begin":
                times, failures = [], 0


def start(port, cpus):
    return Watcher(serve, port, cpus=cpus)
