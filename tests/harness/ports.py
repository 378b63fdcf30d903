"""Free loopback ports for servers that will be killed and started again on the same port.

Ports of the kernel's ephemeral range would not do: while a server is down, a client that
keeps reconnecting to such a port can be given that very port as its own source and connect
to itself, and any other program can be given it too. So ports come from below that range,
and a lock file keeps a port for this process while its server is down.
"""

import fcntl
import os
import random
import socket
import tempfile

_RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range"
_LOWEST = 10240
_kept = {}  # port -> open lock file; the lock lasts as long as the process


def _ephemeral_start():
    try:
        with open(_RANGE_FILE) as file:
            return int(file.read().split()[0])
    except OSError:
        return 32768


def _is_free(port):
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def _lock(port):
    directory = os.path.join(tempfile.gettempdir(), f"postonce-ports-{os.getuid()}")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    file = open(os.path.join(directory, str(port)), "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def free_port():
    """A port that nobody listens on, kept for this process until it ends."""
    top = _ephemeral_start()
    if top <= _LOWEST + 100:
        top = 32768
    for _ in range(1000):
        port = random.randrange(_LOWEST, top)
        if port in _kept:
            continue
        lock = _lock(port)
        if lock is None:
            continue
        if _is_free(port):
            _kept[port] = lock
            return port
        lock.close()
    raise RuntimeError("no free loopback port found")
