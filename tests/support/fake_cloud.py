# SPDX-License-Identifier: Apache-2.0
"""
What the fake clouds have in common: objects in a directory, a web server of
threads, and faults on demand. Python's standard library and nothing else.

  POST   /-/faults   a fault is added (JSON, see Fault)
  DELETE /-/faults   all are taken away
  GET    /-/calls    the calls so far, one a line: METHOD PATH STATUS
  DELETE /-/calls    forget them
  DELETE /-/tokens   none that was given out is good any more
  POST   /-/clock    the cloud's clock is so many seconds ahead from now on
"""
import hashlib
import json
import os
import re
import socketserver
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

# What a careless program would show to people; tests look for it.
BODY_SECRET = "canonical-request-secret"


class Fault:
    """
    {"action": A, "method": REGEX, "path": REGEX, "skip": N, "count": N}

    status:N  answer with this status, and with "retry_after": S that header
    hang      say nothing for an hour
    close     hang up in the middle of the request
    truncate  hang up in the middle of the answer's body
    corrupt   change a byte of the body, of an upload or of an answer
    lose      say that all went well, and keep nothing
    shorten   keep half of an upload, and say that all went well
    forget    know nothing (more) of the large upload that goes on here
    forget:N  the same, and answer with this status (GCS)
    """

    def __init__(self, d):
        self.action = d["action"]
        self.method = re.compile(d.get("method", "") + "$"
                                 if d.get("method") else "")
        self.path = re.compile(d.get("path", ""))
        self.skip = d.get("skip", 0)
        self.count = d.get("count", 1 << 30)
        self.headers = ([("Retry-After", str(d["retry_after"]))]
                        if "retry_after" in d else [])


class Objects:
    """Keys are paths in a directory, which may be removed at any time."""

    def __init__(self, directory):
        self.dir = directory
        self.lock = threading.Lock()
        self.n = 0

    def path(self, key):
        parts = key.split("/")
        if any(p in ("", ".", "..") for p in parts):
            raise HangUp()
        return os.path.join(self.dir, *parts)

    def temp(self):
        os.makedirs(os.path.join(self.dir, ".parts"), exist_ok=True)
        return os.path.join(self.dir, ".parts",
                            "%d-%d" % (os.getpid(), self.number()))

    def number(self):
        """One that nobody else has, whichever thread asks."""
        with self.lock:
            self.n += 1
            return self.n

    def put(self, key, temp):
        path = self.path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(temp, path)

    def size(self, key):
        try:
            return os.stat(self.path(key)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remove(self, key):
        try:
            os.unlink(self.path(key))
        except FileNotFoundError:
            pass

    def keys(self, prefix):
        names = [os.path.relpath(os.path.join(d, f), self.dir)
                 for d, _, files in os.walk(self.dir) for f in files]
        return sorted(n for n in names if n.startswith(prefix))

    def modified(self, key):
        t = os.stat(self.path(key)).st_mtime
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(t))


class HangUp(OSError):
    pass


class Cloud(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, handler, directory):
        super().__init__(("127.0.0.1", port), handler)
        self.objects = Objects(directory)
        self.faults = []
        self.calls = []
        self.ahead = 0
        self.tokens = {}
        self.life = 3600  # of what it gives out
        self.lock = threading.Lock()

    def now(self):
        return time.time() + self.ahead

    def take_fault(self, method, path):
        with self.lock:
            for f in self.faults:
                if f.method.match(method) and f.path.search(path):
                    if f.skip > 0:
                        f.skip -= 1
                    elif f.count > 0:
                        f.count -= 1
                        return f.action, f.headers
        return None, []

    def handle_error(self, request, client_address):
        # A client that left, or us being ended.
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Subclasses have serve(), which calls reply()."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *args):
        pass

    def do_any(self):
        raw, _, self.query_raw = self.path.partition("?")
        self.url_path = raw
        self.query = [(urllib.parse.unquote(k), urllib.parse.unquote(v))
                      for k, _, v in (p.partition("=") for p
                                      in self.query_raw.split("&") if p)]
        self.args = dict(self.query)
        self.fault, self.extra = None, []
        self.body_read = False
        if raw.startswith("/-/"):
            self.control(raw)
            return
        self.fault, self.extra = self.server.take_fault(self.command,
                                                        self.path)
        if self.fault == "hang":
            self.count(0)
            time.sleep(3600)
        if self.fault == "close":
            self.count(0)
            self.rfile.read(min(self.length(), 1000))
            raise HangUp()
        if self.fault and self.fault.startswith("status:"):
            self.drop_body()
            status, _, code = self.fault[7:].partition(":")
            self.fail(int(status), code or "Fault")
            return
        self.serve()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def count(self, status):
        with self.server.lock:
            self.server.calls.append("%s %s %d" % (self.command, self.path,
                                                   status))

    def length(self):
        return int(self.headers.get("Content-Length") or 0)

    def chunks(self):
        """The body of the request, a piece at a time; damaged if so asked."""
        left, first = self.length(), True
        self.body_read = True
        while left > 0:
            b = self.rfile.read(min(left, 1 << 20))
            if not b:
                raise HangUp()
            left -= len(b)
            if first and self.fault == "corrupt":
                b = bytes([b[0] ^ 1]) + b[1:]
            first = False
            yield b

    def drop_body(self):
        for _ in self.chunks():
            pass

    def body(self):
        return b"".join(self.chunks())

    def save(self):
        """The body into a temporary file: its path and SHA-256."""
        path, h = self.server.objects.temp(), hashlib.sha256()
        with open(path, "wb") as f:
            for b in self.chunks():
                h.update(b)
                f.write(b)
        return path, h.hexdigest()

    def keep(self, key, temp):
        if self.fault == "lose":
            os.unlink(temp)
            return
        if self.fault == "shorten":
            os.truncate(temp, os.stat(temp).st_size // 2)
        self.server.objects.put(key, temp)

    def reply(self, status, body=b"", headers=()):
        if not self.body_read:
            self.drop_body()
        self.count(status)
        self.send_response(status)
        headers = list(headers) + self.extra
        names = [n.lower() for n, _ in headers]
        for n, v in headers:
            self.send_header(n, v)
        if "content-length" not in names and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if body and self.fault == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        if body and self.fault == "truncate":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            raise HangUp()
        self.wfile.write(body)

    def reply_object(self, key, extra=()):
        """A whole object, or a range of it."""
        size = self.server.objects.size(key)
        start, end, status = 0, size, 200
        m = re.match(r"bytes=(\d*)-(\d*)$", self.headers.get("Range") or "")
        headers = list(extra) + [("Accept-Ranges", "bytes"),
                                 ("Content-Type", "application/octet-stream")]
        if m and (m.group(1) or m.group(2)):
            if m.group(1):
                start = int(m.group(1))
                end = min(int(m.group(2)) + 1, size) if m.group(2) else size
            else:
                start = max(0, size - int(m.group(2)))
            if start >= size:
                self.reply(416, b"", [("Content-Range", "bytes */%d" % size)])
                return
            status = 206
            headers.append(("Content-Range",
                            "bytes %d-%d/%d" % (start, end - 1, size)))
        with open(self.server.objects.path(key), "rb") as f:
            f.seek(start)
            if end - start <= 1 << 24 or self.command == "HEAD":
                body = b"" if self.command == "HEAD" else f.read(end - start)
                headers.append(("Content-Length", str(end - start)))
                self.reply(status, body, headers)
                return
            self.reply(status, b"", headers + [("Content-Length",
                                                str(end - start))])
            while start < end:
                b = f.read(min(1 << 20, end - start))
                self.wfile.write(b)
                start += len(b)

    def control(self, path):
        what = (self.command, path)
        with self.server.lock:
            if what == ("POST", "/-/faults"):
                self.server.faults.append(Fault(json.loads(self.body())))
            elif what == ("DELETE", "/-/faults"):
                self.server.faults = []
            elif what == ("DELETE", "/-/calls"):
                self.server.calls = []
            elif what == ("DELETE", "/-/tokens"):
                self.server.tokens.clear()
            elif what == ("POST", "/-/clock"):
                self.server.ahead = int(self.body())
            elif what == ("POST", "/-/life"):
                self.server.life = int(self.body())
            calls = "\n".join(self.server.calls)
        b = calls.encode() if what == ("GET", "/-/calls") else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)


def run(server):
    """Say the port, serve until the one who started us is gone."""
    print(server.server_address[1], flush=True)
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    server.serve_forever()
