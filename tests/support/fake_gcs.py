#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Google Cloud Storage as far as Firn uses it: the JSON API with tokens, V4
signed URLs, the OAuth server that gives a token for a signed JWT, and the
metadata server that gives one for the asking. Signatures are checked with the
account's public key. It prints its port.
usage: fake_gcs.py DIRECTORY BUCKET EMAIL MODULUS-HEX [PORT [LIFE [PAGE]]]

MODULUS-HEX "public" has no account: objects can be read by anyone. LIFE is a
token's, in seconds.
"""
import base64
import calendar
import hashlib
import json
import os
import re
import secrets
import struct
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
import fake_cloud  # noqa: E402

BYTES = []
for b in range(256):
    for _ in range(8):
        b = (b >> 1) ^ (0x82f63b78 if b & 1 else 0)
    BYTES.append(b)
# Two bytes at a time: each step is a slow one.
PAIRS = [(p >> 8) ^ BYTES[p & 255] for p in range(65536)]
PAIRS = [(p >> 8) ^ BYTES[p & 255] for p in PAIRS]

PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def crc32c_of(path):
    crc = 0xffffffff
    with open(path, "rb") as f:
        data = f.read()
    for (pair,) in struct.iter_unpack("<H", data[:len(data) & ~1]):
        crc = (crc >> 16) ^ PAIRS[(crc ^ pair) & 65535]
    if len(data) & 1:
        crc = (crc >> 8) ^ BYTES[(crc ^ data[-1]) & 255]
    return base64.b64encode((crc ^ 0xffffffff).to_bytes(4, "big")).decode()


def quote(s):
    return urllib.parse.quote(s, safe="-._~")


def unbase64url(s):
    return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))


class GCS(fake_cloud.Handler):
    def fail(self, status, reason):
        self.reply(status, json.dumps({"error": {
            "code": status, "message": fake_cloud.BODY_SECRET,
            "errors": [{"reason": reason}]}}).encode())
        return False

    def verifies(self, text, signature):
        """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.2)."""
        n = self.server.modulus
        size = (n.bit_length() + 7) // 8
        digest = PREFIX + hashlib.sha256(text).digest()
        want = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        got = pow(int.from_bytes(signature, "big"), 65537, n)
        return len(signature) == size and got == int.from_bytes(want, "big")

    # --- tokens

    def give_token(self):
        token = "ya29." + secrets.token_urlsafe(40)
        self.server.tokens[token] = time.time() + self.server.life
        self.reply(200, json.dumps({
            "access_token": token, "expires_in": self.server.life,
            "token_type": "Bearer"}).encode(),
            [("Metadata-Flavor", "Google")])

    def oauth(self):
        form = urllib.parse.parse_qs(self.body().decode())
        try:
            jwt = form["assertion"][0]
            head, claims, sig = jwt.split(".")
            c = json.loads(unbase64url(claims))
            good = (form["grant_type"] ==
                    ["urn:ietf:params:oauth:grant-type:jwt-bearer"] and
                    json.loads(unbase64url(head))["alg"] == "RS256" and
                    c["iss"] == self.server.email and
                    c["aud"] == self.server.url + "/token" and
                    c["scope"].endswith("devstorage.read_write") and
                    c["iat"] - 60 < time.time() < c["exp"] <= c["iat"] + 3600
                    and self.verifies((head + "." + claims).encode(),
                                      unbase64url(sig)))
        except (KeyError, ValueError):
            good = False
        if good:
            self.give_token()
        else:
            self.fail(400, "invalid_grant")

    def has_token(self):
        kind, _, token = (self.headers.get("Authorization")
                          or "").partition(" ")
        ends = self.server.tokens.get(token, 0)
        return kind == "Bearer" and ends > time.time()

    # --- calls

    def serve(self):
        path = self.url_path
        bucket = "/b/%s/o" % self.server.bucket
        if path == "/token" and self.server.modulus:
            self.oauth()
        elif path.startswith("/computeMetadata/v1/"):
            if self.headers.get("Metadata-Flavor") != "Google":
                self.fail(403, "flavor")
            else:
                self.give_token()
        elif path.startswith("/%s/" % self.server.bucket):
            self.read_by_url()
        elif not self.has_token():
            self.fail(401, "authError")
        elif path.startswith("/storage/v1" + bucket):
            self.objects(urllib.parse.unquote(
                path[len("/storage/v1" + bucket) + 1:]))
        elif path == "/upload/storage/v1" + bucket:
            self.upload()
        else:
            self.fail(404, "notFound")

    def read_by_url(self):
        key = urllib.parse.unquote(self.url_path).split("/", 2)[2]
        a = self.args
        if self.server.modulus:
            try:
                when = calendar.timegm(time.strptime(a["X-Goog-Date"],
                                                     "%Y%m%dT%H%M%SZ"))
                expired = self.server.now() > when + int(a["X-Goog-Expires"])
                good = self.check_url()
            except (KeyError, ValueError):
                good = False
            if not good or expired:
                self.fail(403, "signature")
                return
        if self.server.objects.size(key) is None:
            self.fail(404, "notFound")
        else:
            self.reply_object(key)

    def check_url(self):
        a = self.args
        email, _, scope = a["X-Goog-Credential"].partition("/")
        pairs = sorted((quote(k), quote(v)) for k, v in self.query
                       if k != "X-Goog-Signature")
        host = (self.headers.get("Host") or "").partition(":")[0]
        canonical = "\n".join([
            self.command, self.url_path, "&".join("%s=%s" % p for p in pairs),
            "host:" + host, "", "host", "UNSIGNED-PAYLOAD"])
        text = "\n".join(["GOOG4-RSA-SHA256", a["X-Goog-Date"], scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        return (email == self.server.email and
                a["X-Goog-SignedHeaders"] == "host" and
                scope == a["X-Goog-Date"][:8] + "/auto/storage/goog4_request"
                and self.verifies(text.encode(),
                                  bytes.fromhex(a["X-Goog-Signature"])))

    def objects(self, key):
        o = self.server.objects
        if not key:
            keys = [k for k in o.keys(self.args.get("prefix", ""))
                    if k > self.args.get("pageToken", "")]
            page = keys[:self.server.page]
            answer = {"items": [{"name": k, "size": str(o.size(k)),
                                 "updated": o.modified(k)} for k in page]}
            if len(keys) > len(page):
                answer["nextPageToken"] = page[-1]
            self.reply(200, json.dumps(answer).encode())
        elif self.command == "DELETE":
            there = o.size(key) is not None
            o.remove(key)
            self.reply(204 if there else 404)
        elif o.size(key) is None:
            self.fail(404, "notFound")
        elif self.args.get("alt") == "media":
            self.reply_object(key)
        else:
            self.reply(200, json.dumps({"size": str(o.size(key))}).encode())

    def complete(self, meta, temp):
        # Slow: large files are looked at when they are known to be damaged.
        look = (os.stat(temp).st_size <= 2 << 20 or
                temp in self.server.damaged)
        if look and crc32c_of(temp) != meta["crc32c"]:
            os.unlink(temp)
            self.fail(400, "invalid")
            return
        size = os.stat(temp).st_size
        self.keep(meta["name"], temp)
        self.reply(200, json.dumps({"name": meta["name"],
                                    "size": str(size)}).encode())

    def upload(self):
        if self.args["uploadType"] == "multipart":
            m = re.match("multipart/related; boundary=(.*)$",
                         self.headers.get("Content-Type") or "")
            sep = b"--" + m.group(1).encode()
            body = self.body()
            first, _, rest = body.partition(b"\r\n" + sep + b"\r\n")
            meta = json.loads(first.partition(b"\r\n\r\n")[2])
            data = rest.partition(b"\r\n\r\n")[2]
            data = data[:-len(b"\r\n" + sep + b"--\r\n")]
            temp = self.server.objects.temp()
            with open(temp, "wb") as f:
                f.write(data)
            self.complete(meta, temp)
        elif "upload_id" in self.args:
            self.piece(self.args["upload_id"])
        else:
            upload = "%d" % self.server.objects.number()
            temp = self.server.objects.temp()
            open(temp, "wb").close()
            self.server.sessions[upload] = (json.loads(self.body()), temp)
            self.reply(200, b"", [("Location", "%s%s?uploadType=resumable&"
                                   "upload_id=%s" % (self.server.url,
                                                     self.url_path, upload))])

    def piece(self, upload):
        fault, _, status = (self.fault or "").partition(":")
        if fault == "forget":
            self.server.sessions.pop(upload, None)
        if upload not in self.server.sessions:
            self.drop_body()
            self.fail(int(status or 404), "notFound")
            return
        meta, temp = self.server.sessions[upload]
        m = re.match(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)$",
                     self.headers.get("Content-Range") or "")
        total = int(m.group(3))
        if not os.path.exists(temp):  # done before, the answer got lost
            self.drop_body()
            self.reply(200, b"{}")
            return
        have = os.stat(temp).st_size
        if m.group(1):
            start = int(m.group(1))
            if start > have:
                self.drop_body()
                self.fail(503, "offset")
                return
            with open(temp, "r+b") as f:
                f.seek(start)
                for b in self.chunks():
                    f.write(b)
                    f.flush()
            have = max(have, int(m.group(2)) + 1)
            if self.fault == "corrupt":
                self.server.damaged.add(temp)
        if have >= total:
            self.complete(meta, temp)
            return
        self.reply(308, b"", [("Range", "bytes=0-%d" % (have - 1))]
                   if have else [])


def main():
    a = sys.argv[1:] + [None] * 7
    server = fake_cloud.Cloud(int(a[4] or 0), GCS, a[0])
    server.bucket, server.email = a[1:3]
    server.modulus = None if a[3] == "public" else int(a[3], 16)
    server.life = int(a[5] or 3600)
    server.page = int(a[6] or 1000)
    server.sessions, server.damaged = {}, set()
    server.url = "http://127.0.0.1:%d" % server.server_address[1]
    fake_cloud.run(server)


main()
