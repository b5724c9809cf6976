# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
A proxy between a daemon and an object store that fails when told, at an exact place, a number of times:

    proxy = FaultProxy(store.host, store.port).start()
    fault = proxy.fault(BODY, RESET, method="PUT", path=r"/bucket/", after=100_000, times=1)
    ...
    assert fault.fired == 1

Stages, in the order of an exchange:
    CONNECT   a connection was taken; no request yet (method, path and query are not looked at)
    REQUEST   the request's head was read, nothing sent on
    BODY      `after` bytes of the request's body were sent on
    SENT      all of the request was sent on; the store's answer was not read
    DONE      the store answered whole, so the work is done; the client got nothing of it
    HEAD      the answer's head was sent to the client, nothing of its body
    ANSWER    `after` bytes of the answer's body were sent to the client

Actions:
    CUT       end of both connections, as a process that dies (FIN)
    RESET     the client's connection is reset (RST)
    STALL     nothing more, until the client leaves or `seconds` are over; then goes on
    CORRUPT   the byte at `after` is another one; goes on (BODY, ANSWER)
    REPLY     `status`, `body`, `headers` instead of the store's answer (REQUEST, SENT, DONE)
    LENGTH    Content-Length of the answer lies by `by`; the connection ends with the body (HEAD)
    REWRITE   the answer's head is what change(lines) makes of it (HEAD)

Each exchange is in `exchanges`: what was asked, how many bytes went each way, how and when it ended.
"""

import contextlib
import re
import select
import socket
import struct
import threading
import time

CONNECT, REQUEST, BODY, SENT, DONE, HEAD, ANSWER = "connect request body sent done head answer".split()
CUT, RESET, STALL, CORRUPT, REPLY, LENGTH, REWRITE = "cut reset stall corrupt reply length rewrite".split()
STAGES = (CONNECT, REQUEST, BODY, SENT, DONE, HEAD, ANSWER)
PIECE = 128 << 10
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
           429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Slow Down"}


def s3_error(code, message="told to fail"):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>REQ1</RequestId></Error>'.encode()


class Over(Exception):
    """The connection ends; its text says how."""


class Fault:
    def __init__(self, stage, action, method=None, path=None, query=None, when=None, after=0, times=1, skip=0,
                 seconds=600, status=503, body=b"", headers=None, by=0, change=None):
        self.stage, self.action = stage, action
        self.method, self.path, self.query, self.when = method, path, query, when
        self.after, self.left, self.skip = after, times, skip
        self.seconds, self.status, self.body, self.headers, self.by, self.change = seconds, status, body, headers or {}, by, change
        self.fired = 0

    def matches(self, exchange):
        return (
            (self.method is None or exchange.method in (self.method if isinstance(self.method, tuple) else (self.method,)))
            and (self.path is None or re.search(self.path, exchange.path) is not None)
            and (self.query is None or re.search(self.query, exchange.query) is not None)
            and (self.when is None or self.when(exchange))
        )


class Exchange:
    def __init__(self, connection, number):
        self.connection, self.number = connection, number   # which connection; which of its requests
        self.port = None        # the client's
        self.method = self.path = self.query = ""
        self.headers = {}
        self.body = b""         # the first MiB of a POST's, as it is on the wire
        self.began = time.monotonic()
        self.ended = None
        self.sent = 0           # bytes of the request's body that went to the store
        self.received = 0       # bytes of the answer's body that went to the client
        self.status = None
        self.end = None         # "whole", "client left", "store left", a fault as "cut at body"
        self.faults = []
        self.settled = set()    # faults inside of bodies that fired here, or were skipped

    def __repr__(self):
        return f"<{self.method} {self.path}?{self.query} {self.status} {self.sent}>{self.received} {self.end}>"


class Wire:
    """A socket with what was read of it too early."""

    def __init__(self, sock):
        self.sock = sock
        self.kept = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, most=PIECE):
        if self.kept:
            piece, self.kept = self.kept[:most], self.kept[most:]
            return piece
        try:
            return self.sock.recv(most)
        except OSError:
            return b""

    def head(self):
        """Lines of a head without their ends; None: left before it was whole."""
        while b"\r\n\r\n" not in self.kept:
            try:
                piece = self.sock.recv(PIECE)
            except OSError:
                piece = b""
            if not piece:
                return None
            self.kept += piece
        head, self.kept = self.kept.split(b"\r\n\r\n", 1)
        return head.decode("latin-1").split("\r\n")

    def reset(self):
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()


def named(lines, name):
    """The header's value, None: absent."""
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


class Framing:
    """Where a body ends. feed() gives its bytes as they are on the wire, and how many of them are the body's own."""

    def __init__(self, lines, none=False):
        self.chunked = not none and "chunked" in (named(lines, "transfer-encoding") or "").lower()
        length = named(lines, "content-length")
        self.left = 0 if none else int(length) if length is not None else None if not self.chunked else 0
        self.state, self.line = "size", b""

    def over(self):
        return self.state == "end" if self.chunked else self.left == 0

    def feed(self, piece):
        """(what of it belongs to this body, what comes after it, how many bytes are content)"""
        if not self.chunked:
            if self.left is None:
                return piece, b"", len(piece)
            n = min(self.left, len(piece))
            self.left -= n
            return piece[:n], piece[n:], n
        at = content = 0
        while at < len(piece) and self.state != "end":
            if self.state == "data":
                n = min(self.left, len(piece) - at)
                at += n
                content += n
                self.left -= n
                if self.left == 0:
                    self.state, self.left = "crlf", 2
            elif self.state == "crlf":
                n = min(self.left, len(piece) - at)
                at += n
                self.left -= n
                if self.left == 0:
                    self.state = "size"
            else:
                end = piece.find(b"\n", at)
                self.line += piece[at:end + 1 if end >= 0 else len(piece)]
                at = end + 1 if end >= 0 else len(piece)
                if end < 0:
                    break
                text, self.line = self.line.strip(), b""
                if self.state == "trailer":
                    self.state = "end" if not text else "trailer"
                else:
                    self.left = int(text.split(b";")[0], 16)
                    self.state = "data" if self.left else "trailer"
        return piece[:at], piece[at:], content


class Connection:
    """One of the client's, with one of ours to the store."""

    def __init__(self, proxy, sock, number):
        self.proxy, self.number = proxy, number
        self.client = Wire(sock)
        self.port = sock.getpeername()[1]
        self.store = None
        self.exchange = None

    def run(self):
        how = None
        try:
            self.stage(CONNECT, Exchange(self.number, 0))
            count = 0
            while True:
                lines = self.client.head()
                if lines is None:
                    break
                count += 1
                exchange = Exchange(self.number, count)
                exchange.port = self.port
                self.exchange = self.proxy.begin(exchange)
                keep = self.serve(lines)
                self.proxy.end(self.exchange, "whole")
                self.exchange = None
                if not keep:
                    break
        except Over as e:
            how = str(e)
        except OSError as e:
            how = f"broke: {e}"
        if self.exchange:
            self.proxy.end(self.exchange, how or "client left")
        for wire in (self.client, self.store):
            if wire:
                wire.close()

    # ---- faults ----

    def stage(self, stage, exchange=None):
        """Does what is to be done here; a REPLY is given back."""
        exchange = exchange or self.exchange
        while fault := self.proxy.take(stage, exchange):
            how = f"{fault.action} at {stage}"
            exchange.faults.append(how)
            if fault.action == CUT:
                raise Over(how)
            if fault.action == RESET:
                self.client.reset()
                raise Over(how)
            if fault.action == STALL:
                self.stall(fault.seconds)
            elif fault.action in (REPLY, LENGTH, REWRITE):
                return fault
        return None

    def stall(self, seconds):
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.client.sock, select.POLLRDHUP)
        while time.monotonic() < deadline and not self.proxy.closing:
            if poll.poll(50):
                raise Over("client left")

    def pass_body(self, stage, piece, content, passed, to):
        """Sends a piece of a body on, up to where something is to happen, and does that. `passed` bytes went before."""
        while True:
            planned = self.proxy.next_at(stage, self.exchange, passed, passed + content)
            if not planned or content != len(piece):    # framing bytes in it: the fault waits for the piece's end
                to.sock.sendall(piece)
                self.went(stage, content)
                if planned and content != len(piece):
                    self.at_place(stage, planned)
                return
            n = planned.after - passed
            to.sock.sendall(piece[:n])
            self.went(stage, n)
            piece, content, passed = piece[n:], content - n, passed + n
            self.exchange.settled.add(planned)
            if planned.action == CORRUPT:
                self.proxy.fire(planned)
                self.exchange.faults.append(f"corrupt at {stage}")
                piece = bytes([piece[0] ^ 0x55]) + piece[1:]
            else:
                self.at_place(stage, planned)

    def at_place(self, stage, fault):
        self.proxy.fire(fault)
        how = f"{fault.action} at {stage}"
        self.exchange.faults.append(how)
        if fault.action == RESET:
            self.client.reset()
        if fault.action == STALL:
            return self.stall(fault.seconds)
        raise Over(how)

    def went(self, stage, n):
        if stage == BODY:
            self.exchange.sent += n
        else:
            self.exchange.received += n

    # ---- an exchange ----

    def serve(self, lines):
        x = self.exchange
        x.method, target, _ = lines[0].split(" ", 2)
        x.path, _, x.query = target.partition("?")
        x.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        body = Framing(lines, none="content-length" not in x.headers and "transfer-encoding" not in x.headers)
        if fault := self.stage(REQUEST):
            return self.reply(fault, body)
        if not self.store:
            try:
                self.store = Wire(socket.create_connection((self.proxy.to_host, self.proxy.to_port), 10))
                self.store.sock.settimeout(None)
            except OSError:
                raise Over("store refused") from None
        self.store.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        early = self.pass_request(body)
        if not early and (fault := self.stage(SENT)):
            return self.reply(fault, body)
        return self.answer(body, early)

    def wait(self, client=True):
        """Until the store has something to say, or (with client) the client. Over, when the client left."""
        if self.store.kept:
            return True, False
        if client and self.client.kept:
            return False, True
        poll = select.poll()
        poll.register(self.store.sock, select.POLLIN)
        poll.register(self.client.sock, select.POLLIN | select.POLLRDHUP if client else select.POLLRDHUP)
        ready = dict(poll.poll())
        said = ready.get(self.store.sock.fileno(), 0)
        asked = ready.get(self.client.sock.fileno(), 0)
        if asked & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) and not (client and asked & select.POLLIN):
            raise Over("client left")
        return bool(said), bool(asked & select.POLLIN)

    def pass_request(self, body):
        """The body to the store; true when the store answered before its end."""
        while not body.over():
            if self.proxy.pace:
                time.sleep(self.proxy.pace)
            said, asked = self.wait()
            if said and self.interim():
                return True
            if asked:
                piece = self.client.read()
                if not piece:
                    raise Over("client left")
                own, rest, content = body.feed(piece)
                self.client.kept = rest + self.client.kept
                if self.exchange.method == "POST" and len(self.exchange.body) < 1 << 20:
                    self.exchange.body += own
                try:
                    self.pass_body(BODY, own, content, self.exchange.sent, self.store)
                except OSError:
                    # It may have answered before it left.
                    return True
        return False

    def interim(self):
        """The store speaks: passes a 1xx on; true when it is the final answer."""
        lines = self.store.head()
        if lines is None:
            raise Over("store left")
        status = int(lines[0].split(" ")[1])
        if 100 <= status < 200:
            self.client.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            return False
        self.early_lines = lines
        return True

    early_lines = None

    def answer(self, request_body, early):
        x = self.exchange
        while self.early_lines is None:
            self.wait(client=False)
            self.interim()
        lines, self.early_lines = self.early_lines, None
        x.status = int(lines[0].split(" ")[1])
        none = x.method == "HEAD" or x.status in (204, 304)
        body = Framing(lines, none)
        if self.proxy.planned(DONE, x):
            whole = b""
            while not body.over():
                piece = self.store.read()
                if not piece:
                    break
                own, self.store.kept, _ = body.feed(piece)
                whole += own
            if fault := self.stage(DONE):
                return self.reply(fault, request_body)
            body = Framing(lines, none)
            self.store.kept = whole + self.store.kept
        keep = not early and (named(lines, "connection") or "").lower() != "close" and not (body.left is None)
        rewritten = None
        for fault in self.proxy.planned(HEAD, x):
            if fault.action in (LENGTH, REWRITE):
                rewritten = fault
        if rewritten:
            self.proxy.fire(rewritten)
            x.faults.append(f"{rewritten.action} at head")
            lines = self.rewrite(lines, rewritten)
            keep = keep and rewritten.action != LENGTH
        self.client.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        self.stage(HEAD)
        while not body.over():
            if self.proxy.pace:
                time.sleep(self.proxy.pace)
            self.wait(client=False)
            piece = self.store.read()
            if not piece:
                if body.left is None:
                    return False
                raise Over("store left")
            own, rest, content = body.feed(piece)
            self.store.kept = rest + self.store.kept
            self.pass_body(ANSWER, own, content, x.received, self.client)
        return keep

    @staticmethod
    def rewrite(lines, fault):
        if fault.action == REWRITE:
            return fault.change(list(lines))
        return [f"Content-Length: {int(line.partition(':')[2]) + fault.by}" if line.lower().startswith("content-length:") else line for line in lines]

    def reply(self, fault, body):
        """Our own answer; what the client still sends is taken so that it can read it."""
        x = self.exchange
        x.status = fault.status
        text = fault.body if isinstance(fault.body, bytes) else fault.body.encode()
        head = [f"HTTP/1.1 {fault.status} {REASONS.get(fault.status, 'Something')}", f"Content-Length: {len(text)}", "Connection: close"]
        if "Content-Type" not in fault.headers:
            head.append("Content-Type: application/xml")
        head += [f"{k}: {v}" for k, v in fault.headers.items()]
        self.client.sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode() + (b"" if x.method == "HEAD" else text))
        with contextlib.suppress(OSError):
            self.client.sock.shutdown(socket.SHUT_WR)
            self.client.sock.settimeout(2)
            deadline = time.monotonic() + 5
            while self.client.sock.recv(PIECE) and time.monotonic() < deadline:
                pass
        x.faults.append(f"reply {fault.status} at {fault.stage}")
        return False


class FaultProxy:
    def __init__(self, host, port):
        self.to_host, self.to_port = host, port
        self.lock = threading.Lock()
        self.faults = []
        self.exchanges = []
        self.closing = False
        self.pace = 0           # seconds before each piece of a body: a store that is slow
        self.connections = 0
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.host, self.port = self.listener.getsockname()
        self.url = f"http://{self.host}:{self.port}"

    def start(self):
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def listen(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                connection = Connection(self, sock, self.connections)
            except OSError:
                continue        # it left already
            threading.Thread(target=self.attend, args=(connection,), daemon=True).start()

    def attend(self, connection):
        with self.lock:
            self.open.add(connection)
        try:
            connection.run()
        finally:
            with self.lock:
                self.open.discard(connection)

    def close(self):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()

    def drop(self):
        """Ends all connections that are open."""
        with self.lock:
            wires = [w for c in self.open for w in (c.client, c.store) if w]
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)

    # ---- for tests ----

    def fault(self, stage, action, **options):
        assert stage in STAGES, stage
        made = Fault(stage, action, **options)
        with self.lock:
            self.faults.append(made)
        return made

    def clear(self):
        """No faults, no memory."""
        with self.lock:
            self.faults.clear()
            self.exchanges.clear()
        self.pace = 0

    def find(self, method=None, path=None, query=None):
        with self.lock:
            return [
                x for x in self.exchanges
                if (method is None or x.method == method) and (path is None or re.search(path, x.path)) and (query is None or re.search(query, x.query))
            ]

    def count(self, method=None, path=None, query=None):
        return len(self.find(method, path, query))

    @staticmethod
    def held(exchange):
        """Whether the client still has its end open. Its last words may be behind megabytes that we did not read yet."""
        with open("/proc/net/tcp") as f:
            return any(line.split()[1].endswith(f":{exchange.port:04X}") and line.split()[3] == "01" for line in f)

    def wait_for(self, condition, seconds=10):
        """The first true value of condition()."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {self.exchanges[-20:]}")
            time.sleep(0.005)
        return value

    # ---- for connections ----

    def begin(self, exchange):
        with self.lock:
            self.exchanges.append(exchange)
        return exchange

    def end(self, exchange, how):
        exchange.end = how
        exchange.ended = time.monotonic()

    def take(self, stage, exchange):
        """The next fault of this stage that is due; it counts as fired."""
        with self.lock:
            for fault in self.faults:
                if fault.stage == stage and fault.left > 0 and fault.action not in (LENGTH, REWRITE) and (stage == CONNECT or fault.matches(exchange)):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.left -= 1
                    fault.fired += 1
                    return fault
        return None

    def planned(self, stage, exchange):
        with self.lock:
            return [f for f in self.faults if f.stage == stage and f.left > 0 and f.matches(exchange)]

    def next_at(self, stage, exchange, first, end):
        """The fault nearest to `first` whose place is before `end`; skips are counted once for each exchange."""
        found = None
        for fault in self.planned(stage, exchange):
            if fault in exchange.settled or not first <= fault.after < end:
                continue
            with self.lock:
                if fault.skip > 0:
                    fault.skip -= 1
                    exchange.settled.add(fault)
                    continue
            if found is None or fault.after < found.after:
                found = fault
        return found

    def fire(self, fault):
        with self.lock:
            fault.left -= 1
            fault.fired += 1
