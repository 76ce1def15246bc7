#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Send the requests of a table to a registry and judge the answers.

usage: hostile.py TABLE WHERE[,WHERE...] PORT SOCKET METRICS-URL

The table is described in tests/e2e/t25-hostile.table. Each target goes
through nginx, as raw bytes, and to the FastCGI program itself. For each line
"ok NAME" or "not ok NAME<tab>WHY" is printed.
"""
import json
import re
import socket
import struct
import sys
import time
import urllib.request

TARGETS = {
    "name": "/v2/%s/manifests/latest",
    "trap": "/v2/%s/manifests/latest",
    "tag": "/v2/hello/manifests/%s",
    "ref": "/v2/hello/manifests/%s",
    "path": "%s",
}
# The longest that an answer may take: what an evaluation may, and some more.
SECONDS = 30
CODES = {
    "BLOB_UNKNOWN", "DENIED", "DIGEST_INVALID", "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "UNSUPPORTED",
}


def expand(text):
    """\\xNN and {TEXT*N}, to bytes."""
    out = re.sub(r"\{([^{}*]+)\*(\d+)\}",
                 lambda m: m[1] * int(m[2]), text).encode()
    return re.sub(rb"\\x([0-9a-f]{2})",
                  lambda m: bytes([int(m[1], 16)]), out)


def receive(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def by_nginx(port, target):
    with socket.create_connection(("127.0.0.1", port), SECONDS) as s:
        s.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n"
                  b"Connection: close\r\n\r\n")
        answer = receive(s)
    if answer.startswith(b'{"errors":'):
        # A target with a line's end in it is a request of HTTP/0.9, whose
        # answer is a body.
        return 400, b"\r\nContent-Type: application/json", answer
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1.1 (\d+) ", head)
    return int(found[1]) if found else 0, head, body


def record(kind, content):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def params(pairs):
    out = b""
    for key, value in pairs:
        for n in (len(key), len(value)):
            out += bytes([n]) if n < 128 else struct.pack("!I", n | 1 << 31)
        out += key + value
    return out


def by_fastcgi(path, target):
    """What nginx would refuse reaches the program too."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(SECONDS)
        s.connect(path)
        s.sendall(record(1, struct.pack("!HB5x", 1, 0)) +
                  record(4, params([(b"REQUEST_METHOD", b"GET"),
                                    (b"REQUEST_URI", target),
                                    (b"SCRIPT_NAME", target),
                                    (b"SERVER_PROTOCOL", b"HTTP/1.1")])) +
                  record(4, b"") + record(5, b""))
        data, out = receive(s), b""
    while len(data) >= 8:
        kind, size, padding = struct.unpack("!xBxxHBx", data[:8])
        if kind == 6:
            out += data[8:8 + size]
        data = data[8 + size + padding:]
    head, _, body = out.partition(b"\r\n\r\n")
    found = re.match(rb"Status: (\d+) ", head)
    return int(found[1]) if found else 0, head, body


def fault(status, head, body):
    """What is wrong with an answer; None when nothing is."""
    if not 400 <= status <= 499:
        return "status %d: %s" % (status, body[:300])
    if b"\r\ncontent-type: application/json" not in head.lower():
        return "no JSON: %s" % head
    try:
        errors = json.loads(body)["errors"]
    except (ValueError, KeyError, TypeError):
        return "no errors in the body: %s" % body[:300]
    if errors[0]["code"] not in CODES or not errors[0]["message"]:
        return "an odd error: %s" % errors[0]
    if len(body) > 1 << 16:
        return "a body of %d bytes" % len(body)
    if any(c < 0x20 for line in head.split(b"\r\n") for c in line):
        return "control bytes in a header: %s" % head
    if b"\r\nx-canary" in head.lower():
        return "a header of the request's: %s" % head
    return None


def main():
    table, wheres, port, path, metrics = sys.argv[1:]

    def processes():
        with urllib.request.urlopen(metrics) as answer:
            return int(re.search(rb"^firn_processes_started_total (\d+)",
                                 answer.read(), re.M)[1])

    with open(table, encoding="utf-8") as lines:
        entries = [line.rstrip("\n").split(" ", 2) for line in lines
                   if line.strip() and not line.startswith("#")]
    slowest = 0
    for nix, where, *value in entries:
        if where not in wheres.split(","):
            continue
        target = TARGETS[where].encode() % expand(value[0] if value else "")
        name = "%s %s" % (where, value[0] if value else "")
        before, start, why = processes(), time.monotonic(), None
        for way, send in (("nginx", lambda t: by_nginx(int(port), t)),
                          ("FastCGI", lambda t: by_fastcgi(path, t))):
            try:
                why = fault(*send(target))
            except OSError as e:
                why = "no answer: %s" % e
            if why:
                why = "%s: %s" % (way, why)
                break
        seconds = time.monotonic() - start
        slowest = max(slowest, seconds)
        if not why and seconds > SECONDS:
            why = "%.0f s" % seconds
        if not why and nix == "no" and processes() != before:
            why = "it started Nix"
        if sys.stdout.isatty() or seconds > 1:
            print("# %.1f s: %s" % (seconds, name[:80]))
        print("not ok %s\t%s" % (name[:80], why) if why
              else "ok %s" % name[:80], flush=True)
    print("# the slowest took %.1f s" % slowest)


main()
