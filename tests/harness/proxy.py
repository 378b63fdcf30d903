"""A TCP proxy in front of PostgreSQL that can make two rare moments happen on purpose.

- hold: what the client sends is kept back, as if it were under way, until release. A batch
  held here reaches the server after its sender has lost the partition.
- lose_commits: the server's answer to a COMMIT is swallowed and the connection is cut: the
  transaction is committed, and the client cannot know.

It reads the server's side of the protocol message by message, so connect through it with
sslmode=disable and gssencmode=disable.
"""

import contextlib
import select
import socket
import struct
import threading

import psycopg

from .ports import free_port


class PostgresProxy:
    def __init__(self, host, port):
        self.port = free_port()
        self.completions = []  # command tags as they came back, over all connections
        self.lost = 0          # COMMIT answers swallowed so far
        self._target = (host, port)
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._held = 0
        self._to_lose = 0
        self._connections = set()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what a test says ----

    def hold(self):
        self._held = 0
        self._open.clear()

    def release(self):
        self._open.set()

    @property
    def held_bytes(self):
        """How much has been kept back since the last hold."""
        return self._held

    def lose_commits(self, count):
        with self._lock:
            self._to_lose = count

    def close(self):
        self._listener.close()
        self.cut()
        self._open.set()

    def cut(self):
        """Drops every connection."""
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            _close(each)

    # ---- what it does ----

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
                server.settimeout(None)
            except OSError:
                _close(client)
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections |= {client, server}
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=self._run, args=(pump, client, server),
                                 daemon=True).start()

    def _run(self, pump, client, server):
        with contextlib.suppress(OSError, ValueError):  # closed while it was waited for
            pump(client, server)
        for each in (client, server):
            _close(each)
        with self._lock:
            self._connections -= {client, server}

    def _to_server(self, client, server):
        while True:
            data = self._recv_ready(client)
            if data is None:
                continue
            if not data:
                return
            if not self._open.is_set():
                data = self._keep_back(client, data)
            server.sendall(data)

    @staticmethod
    def _recv_ready(client):
        readable, _, _ = select.select([client], [], [], 0.02)
        return client.recv(65536) if readable else None

    def _keep_back(self, client, data):
        self._held += len(data)
        while not self._open.is_set():
            more = self._recv_ready(client)
            if more == b"":
                break
            data += more or b""
            self._held += len(more or b"")
        self._open.wait()
        return data

    def _to_client(self, client, server):
        buffer = b""
        while True:
            data = server.recv(65536)
            if not data:
                return
            buffer += data
            whole, buffer = self._split(buffer)
            if whole is None:  # the answer to a COMMIT was lost on the way
                return
            client.sendall(whole)

    def _split(self, buffer):
        """Whole messages of the server, and the rest; None in place of the first when
        everything from a COMMIT's answer on is to be lost."""
        at = 0
        while len(buffer) - at >= 5:
            size = struct.unpack_from("!I", buffer, at + 1)[0] + 1
            if len(buffer) - at < size:
                break
            if buffer[at:at + 1] == b"C":
                tag = buffer[at + 5:at + size - 1].decode()
                if tag == "COMMIT" and self._take_loss():
                    return None, b""
                self.completions.append(tag)
            at += size
        return buffer[:at], buffer[at:]

    def _take_loss(self):
        with self._lock:
            if self._to_lose == 0:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True


def _close(each):
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def in_front_of(url):
    """A proxy before the server of a connection string, and the string that leads to it."""
    parameters = psycopg.conninfo.conninfo_to_dict(url)
    host = parameters.get("host") or "localhost"
    if host.startswith("/"):
        raise RuntimeError("the server is reached by a socket file, which is not proxied")
    proxy = PostgresProxy(host, int(parameters.get("port") or 5432))
    return proxy, psycopg.conninfo.make_conninfo(url, host="127.0.0.1", port=proxy.port,
                                                 sslmode="disable", gssencmode="disable")
