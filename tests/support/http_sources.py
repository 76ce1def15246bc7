#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serve package sets over HTTP, as a host of repositories and a mirror do.

usage: http_sources.py DIR LOG

Prints its port. Below DIR:
  git/X.git/...   by git's own http-backend (smart HTTP)
  dumb/...        files, as a static server has them
  channels/X      a file with a path: a redirect to it
  anything else   a file, with an ETag
A file DIR/down makes every answer 503; DIR/discreet, 403 of what isn't there,
as buckets have it whose contents may not be listed. Each request becomes a line of LOG:
STATUS METHOD PATH.
"""
import hashlib
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT, LOG = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        with open(LOG, "a", encoding="utf-8") as log:
            log.write("%d %s %s\n" % (status, self.command, self.path))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def git(self):
        path, _, query = self.path.partition("?")
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        env = dict(os.environ, GIT_PROJECT_ROOT=ROOT, GIT_HTTP_EXPORT_ALL="1",
                   PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_LENGTH=str(len(body)),
                   CONTENT_TYPE=self.headers.get("Content-Type", ""),
                   HTTP_CONTENT_ENCODING=self.headers.get(
                       "Content-Encoding", ""),
                   GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        out = subprocess.run(["git", "-c", "safe.directory=*", "http-backend"],
                             input=body, env=env, capture_output=True,
                             check=True).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        headers, status = {}, 200
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers[name.replace("-", "_")] = value
        self.answer(status, body, **headers)

    def file(self):
        path = os.path.join(ROOT, self.path.partition("?")[0].lstrip("/"))
        if ".." in path or not os.path.isfile(path):
            discreet = os.path.exists(os.path.join(ROOT, "discreet"))
            return self.answer(403 if discreet else 404)
        with open(path, "rb") as f:
            body = f.read()
        if self.path.startswith("/channels/"):
            return self.answer(302, Location=body.decode().strip())
        if self.path.startswith("/dumb/"):
            return self.answer(200, body)
        etag = '"%s"' % hashlib.sha256(body).hexdigest()
        if self.headers.get("If-None-Match") == etag:
            return self.answer(304, ETag=etag)
        return self.answer(200, body, ETag=etag)

    def do_GET(self):
        if os.path.exists(os.path.join(ROOT, "down")):
            self.answer(503)
        elif self.path.startswith("/git/") and ".git/archive/" not in self.path:
            self.git()
        else:
            self.file()

    do_HEAD = do_POST = do_GET


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
