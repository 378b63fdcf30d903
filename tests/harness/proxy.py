"""A TCP proxy in front of PostgreSQL that makes rare moments happen on purpose.

- hold: what the client sends is kept back, as if it were under way, until release; from now
  on, or from the BEGIN of the next batch on. A batch held here reaches the server after its
  sender has lost the partition.
- lose_commits: the server's answer to a COMMIT is swallowed and the connection is cut: the
  transaction is committed, and the client cannot know.
- at_commit: at the next COMMIT on its way to the server the connection is cut behind its
  last byte, or within it; or its answer is kept back, for a server that dies meanwhile.
- cut, silence, slowness: as networks do.

It reads both sides of the protocol message by message, so connect through it with
sslmode=disable and gssencmode=disable.
"""

import contextlib
import select
import socket
import struct
import threading
import time

import psycopg

from .ports import free_port

AFTER, WITHIN, UNANSWERED = "after", "within", "unanswered"  # of at_commit


class PostgresProxy:
    def __init__(self, host, port):
        self.port = free_port()
        self.completions = []  # command tags as they came back, over all connections
        self.lost = 0          # COMMIT answers swallowed so far
        self.at_commits = 0    # how often at_commit has struck
        self.slowed = 0        # writes that were delayed or chopped
        self.delay = 0.0       # seconds before each write
        self.one_byte = False  # each write is made byte by byte
        self._target = (host, port)
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._hold_at_begin = False
        self._heard = threading.Event()  # the way back to the client is open
        self._heard.set()
        self._held = 0
        self._to_lose = 0
        self._at_commit = None
        self._connections = set()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what a test says ----

    def hold(self):
        self._held = 0
        self._open.clear()

    def hold_next_batch(self):
        """Holds from the next BEGIN on; what is sent before it still passes."""
        self._held = 0
        self._hold_at_begin = True

    def release(self):
        self._hold_at_begin = False
        self._open.set()

    @property
    def held_bytes(self):
        """How much has been kept back since the last hold."""
        return self._held

    def lose_commits(self, count):
        with self._lock:
            self._to_lose = count

    def at_commit(self, what):
        """AFTER, WITHIN or UNANSWERED, once; None calls it off. An answer that is kept back
        comes through after `hear`."""
        with self._lock:
            self._at_commit = what

    def silence(self):
        """The client hears nothing more until `hear`, or until the connection is cut."""
        self._heard.clear()

    def hear(self):
        self._heard.set()

    def well(self):
        """Undoes everything above."""
        self.lose_commits(0)
        self.at_commit(None)
        self.delay, self.one_byte = 0.0, False
        self.hear()
        self.release()

    def close(self):
        self._listener.close()
        self.cut()
        self.well()

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

    def _write(self, to, data):
        if self.delay:
            self.slowed += 1
            time.sleep(self.delay)
        if not self.one_byte:
            to.sendall(data)
            return
        self.slowed += 1
        for byte in data:
            to.sendall(bytes((byte,)))

    def _to_server(self, client, server):
        reading = _ClientSide()
        while True:
            data = self._recv_ready(client)
            if data is None:
                continue
            if not data:
                return
            for kind, message in reading.take(data):
                if kind == "begin" and self._hold_at_begin:
                    self._hold_at_begin = False
                    self._open.clear()
                if not self._open.is_set():
                    self._keep_back(message)
                if kind == "commit" and not self._pass_commit(server, message):
                    return
                if kind != "commit":
                    self._write(server, message)

    @staticmethod
    def _recv_ready(client):
        readable, _, _ = select.select([client], [], [], 0.02)
        return client.recv(65536) if readable else None

    def _keep_back(self, message):
        self._held += len(message)
        self._open.wait()

    def _pass_commit(self, server, message):
        """False when the connection is to be cut now."""
        with self._lock:
            what, self._at_commit = self._at_commit, None
        if what == WITHIN:
            message = message[:len(message) // 2]
        if what == UNANSWERED:
            self.silence()
        self._write(server, message)
        self.at_commits += what is not None
        return what not in (AFTER, WITHIN)

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
            if not self._heard.is_set() and not self._wait_heard(server):
                return
            self._write(client, whole)

    def _wait_heard(self, server):
        """False when the server has gone meanwhile: what it said is lost."""
        while not self._heard.wait(0.02):
            readable, _, _ = select.select([server], [], [], 0)
            if readable and not server.recv(1, socket.MSG_PEEK):
                return False
        return True

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


class _ClientSide:
    """The client's bytes as pieces of whole messages: ("begin", …) up to the message that
    begins a transaction, ("commit", …) from the one that commits it to its Sync, ("", …)
    all else. Statements are known by their SQL, whatever their name is."""

    def __init__(self):
        self._buffer = b""
        self._started = False
        self._sql = {}     # of prepared statements, by name
        self._commit = b"" # of a COMMIT whose Sync has not come yet

    def take(self, data):
        self._buffer += data
        pieces, plain = [], b""
        for message in self._messages():
            word = self._word(message)
            if self._commit or word == "COMMIT":
                self._commit += message
                if message[:1] in b"SQ":
                    pieces += [("", plain), ("commit", self._commit)]
                    plain = self._commit = b""
            elif word == "BEGIN":
                pieces += [("", plain)]
                pieces += [("begin", message)]
                plain = b""
            else:
                plain += message
        return [piece for piece in (*pieces, ("", plain)) if piece[1]]

    def _messages(self):
        while True:
            before = 1 if self._started else 0  # the first message has no type
            if len(self._buffer) < before + 4:
                return
            size = before + struct.unpack_from("!I", self._buffer, before)[0]
            if len(self._buffer) < size:
                return
            message, self._buffer = self._buffer[:size], self._buffer[size:]
            started, self._started = self._started, True
            yield message if started else _Startup(message)

    def _word(self, message):
        """The first word of the statement that a message runs; "" for others."""
        if isinstance(message, _Startup):
            return ""
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, sql = body.split(b"\0")[:2]
            self._sql[name] = sql
        elif kind == b"B":
            return _first_word(self._sql.get(body.split(b"\0", 2)[1], b""))
        elif kind == b"Q":
            return _first_word(body)
        return ""


class _Startup(bytes):
    """The first message of a connection, which has no type."""


def _first_word(sql):
    words = sql.rstrip(b"\0").split(None, 1)
    return words[0].decode("ascii", "replace").upper().rstrip(";") if words else ""


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
