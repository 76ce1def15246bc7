#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
An S3 server of one bucket that checks every signature (AWS Signature Version
4, in headers and in URLs, expiry and bodies included). It prints its port.
usage: fake_s3.py DIRECTORY BUCKET KEY-ID SECRET [PORT [TOKEN [PAGE]]]

It also gives out keys that last a while (POST /-/life: so many seconds), as
those do who give them to containers (/keys), instances (/latest) and web
identities (/).
"""
import calendar
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse
from xml.sax.saxutils import escape

sys.dont_write_bytecode = True
import fake_cloud  # noqa: E402

EMPTY = hashlib.sha256(b"").hexdigest()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def quote(s):
    return urllib.parse.quote(s, safe="-._~")


class S3(fake_cloud.Handler):
    def fail(self, status, code):
        body = ("<?xml version=\"1.0\"?><Error><Code>%s</Code><StringToSign>%s"
                "</StringToSign></Error>" % (code, fake_cloud.BODY_SECRET))
        self.reply(status, b"" if self.command == "HEAD" else body.encode(),
                   [("Content-Type", "application/xml")])
        return False

    # --- signatures

    def signature(self, secret, scope, when, query, names, payload):
        headers = "".join("%s:%s\n" % (n, " ".join(
            (self.headers.get(n) or "").split())) for n in names)
        pairs = sorted((quote(k), quote(v)) for k, v in query)
        canonical = "\n".join([
            self.command, self.url_path,
            "&".join("%s=%s" % p for p in pairs), headers, ";".join(names),
            payload])
        text = "\n".join(["AWS4-HMAC-SHA256", when, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in scope.split("/"):
            key = mac(key, part)
        return mac(key, text).hex()

    def check(self, credential, when, names, query, payload, got, token):
        key_id, _, scope = credential.partition("/")
        if key_id.startswith("ASIA") and key_id not in self.server.tokens:
            return self.fail(400, "ExpiredToken")
        known = {self.server.key_id: (self.server.secret, self.server.token,
                                      1 << 60), **self.server.tokens}
        if key_id not in known:
            return self.fail(403, "InvalidAccessKeyId")
        secret, its_token, ends = known[key_id]
        if self.server.now() > ends:
            return self.fail(400, "ExpiredToken")
        if token != its_token:
            return self.fail(403, "InvalidToken")
        parts = scope.split("/")
        if len(parts) != 4 or parts[2:] != ["s3", "aws4_request"] or \
                parts[0] != when[:8]:
            return self.fail(400, "AuthorizationHeaderMalformed")
        if "host" not in names or names != sorted(names):
            return self.fail(403, "AccessDenied")
        want = self.signature(secret, scope, when, query, names, payload)
        if not hmac.compare_digest(want, got):
            return self.fail(403, "SignatureDoesNotMatch")
        return True

    def age(self, when):
        t = calendar.timegm(time.strptime(when, "%Y%m%dT%H%M%SZ"))
        return self.server.now() - t

    def check_url(self):
        a = self.args
        rest = [(k, v) for k, v in self.query if k != "X-Amz-Signature"]
        if a.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            return self.fail(400, "AuthorizationQueryParametersError")
        if self.age(a["X-Amz-Date"]) > int(a["X-Amz-Expires"]):
            return self.fail(403, "AccessDenied")
        return self.check(a["X-Amz-Credential"], a["X-Amz-Date"],
                          a["X-Amz-SignedHeaders"].split(";"), rest,
                          "UNSIGNED-PAYLOAD", a["X-Amz-Signature"],
                          a.get("X-Amz-Security-Token"))

    def check_headers(self):
        auth = self.headers.get("Authorization") or ""
        if not auth.startswith("AWS4-HMAC-SHA256 "):
            return self.fail(403, "AccessDenied")
        fields = dict(f.strip().split("=", 1) for f in auth[17:].split(","))
        when = self.headers.get("x-amz-date") or ""
        payload = self.headers.get("x-amz-content-sha256") or ""
        names = fields["SignedHeaders"].split(";")
        if abs(self.age(when)) > 900:
            return self.fail(403, "RequestTimeTooSkewed")
        if any(n.lower().startswith("x-amz-") and n.lower() not in names
               for n in self.headers):
            return self.fail(403, "AccessDenied")
        return self.check(fields["Credential"], when, names, self.query,
                          payload, fields["Signature"],
                          self.headers.get("x-amz-security-token"))

    # --- keys for a while

    def new_key(self):
        n = self.server.objects.number()
        key = ("ASIA%d" % n, self.server.secret + "-%d" % n,
               "firn-test-session-token-%d/+=" % n)
        ends = self.server.now() + self.server.life
        self.server.tokens[key[0]] = key[1:] + (ends,)
        return key, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))

    def give_json(self):
        (key_id, secret, token), ends = self.new_key()
        self.reply(200, json.dumps({
            "Code": "Success", "AccessKeyId": key_id, "Expiration": ends,
            "SecretAccessKey": secret, "Token": token}).encode())

    def give_keys(self):
        path = self.url_path
        meta = "/latest/meta-data/iam/security-credentials/"
        get, put = self.command == "GET", self.command == "PUT"
        if path == "/keys":
            good = self.headers.get("Authorization") == "firn-test-container"
            self.give_json() if get and good else self.fail(401, "no")
        elif path == "/latest/api/token":
            ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            good = put and ttl and 0 < int(ttl) <= 21600
            self.reply(*(200, b"firn-test-instance") if good else (400,))
        elif path.startswith(meta):
            if self.headers.get("X-aws-ec2-metadata-token") != \
                    "firn-test-instance" or not get:
                self.fail(401, "no")
            elif path == meta:
                self.reply(200, b"firn-role\n")
            elif path == meta + "firn-role":
                self.give_json()
            else:
                self.fail(404, "no")
        else:
            form = urllib.parse.parse_qs(self.body().decode())
            if form != {"Action": ["AssumeRoleWithWebIdentity"],
                        "Version": ["2011-06-15"],
                        "RoleSessionName": ["firn"],
                        "RoleArn": ["arn:aws:iam::123456789012:role/firn"],
                        "WebIdentityToken": ["firn-test-web/+="]}:
                self.fail(400, "InvalidIdentityToken")
                return
            (key_id, secret, token), ends = self.new_key()
            self.reply(200, (
                "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>"
                "%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>"
                "<SessionToken>%s</SessionToken><Expiration>%s</Expiration>"
                "</Credentials></AssumeRoleWithWebIdentityResponse>"
                % (key_id, secret, token, ends)).encode())

    # --- calls

    def serve(self):
        if self.url_path in ("/", "/keys") or \
                self.url_path.startswith("/latest/"):
            self.give_keys()
            return
        signed_url = "X-Amz-Signature" in self.args
        if not (self.check_url() if signed_url else self.check_headers()):
            return
        if self.fault == "forget":
            self.abort()
        bucket, _, key = urllib.parse.unquote(
            self.url_path[1:]).partition("/")
        if bucket != self.server.bucket:
            self.fail(404, "NoSuchBucket")
        elif not key:
            self.list()
        elif self.command in ("GET", "HEAD"):
            if self.server.objects.size(key) is None:
                self.fail(404, "NoSuchKey")
            else:
                self.reply_object(key, [("ETag", "\"x\"")])
        elif self.command == "PUT":
            self.put(key)
        elif self.command == "POST":
            self.post(key)
        else:
            if "uploadId" in self.args:
                self.abort()
            else:
                self.server.objects.remove(key)
            self.reply(204)

    def list(self):
        keys = self.server.objects.keys(self.args.get("prefix", ""))
        after = self.args.get("continuation-token", "")
        keys = [k for k in keys if k > after]
        page = keys[:self.server.page]
        more = len(keys) > len(page)
        out = ["<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>%s"
               "</IsTruncated>" % ("true" if more else "false")]
        if more:
            out.append("<NextContinuationToken>%s</NextContinuationToken>"
                       % escape(page[-1]))
        o = self.server.objects
        for k in page:
            out.append("<Contents><Key>%s</Key><LastModified>%s"
                       "</LastModified><Size>%d</Size></Contents>"
                       % (escape(k), o.modified(k), o.size(k)))
        out.append("</ListBucketResult>")
        self.reply(200, "".join(out).encode())

    def put(self, key):
        temp, digest = self.save()
        if digest != self.headers.get("x-amz-content-sha256"):
            os.unlink(temp)
            self.fail(400, "XAmzContentSHA256Mismatch")
            return
        upload = self.args.get("uploadId")
        if upload is None:
            self.keep(key, temp)
        elif upload not in self.server.uploads:
            os.unlink(temp)
            self.fail(404, "NoSuchUpload")
            return
        else:
            number = int(self.args["partNumber"])
            self.server.uploads[upload][number] = (temp, digest)
        self.reply(200, b"", [("ETag", "\"%s\"" % digest)])

    def post(self, key):
        if "uploads" in self.args:
            upload = "up/load+%d" % self.server.objects.number()
            self.server.uploads[upload] = {}
            self.reply(200, ("<InitiateMultipartUploadResult><UploadId>%s"
                             "</UploadId></InitiateMultipartUploadResult>"
                             % upload).encode())
            return
        upload = self.args.get("uploadId")
        parts = self.server.uploads.get(upload)
        body = self.body()
        if hashlib.sha256(body).hexdigest() != \
                self.headers.get("x-amz-content-sha256"):
            self.fail(400, "XAmzContentSHA256Mismatch")
        elif parts is None:
            self.fail(404, "NoSuchUpload")
        else:
            self.complete(key, upload, parts, body.decode())

    def complete(self, key, upload, parts, body):
        want = "".join(
            "<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>"
            % (n, parts[n][1]) for n in sorted(parts))
        if want not in body or any(
                os.stat(parts[n][0]).st_size < 5 << 20
                for n in sorted(parts)[:-1]):
            self.fail(400, "InvalidPart")
            return
        temp = self.server.objects.temp()
        with open(temp, "wb") as out:
            for n in sorted(parts):
                with open(parts[n][0], "rb") as f:
                    while b := f.read(1 << 20):
                        out.write(b)
        self.keep(key, temp)
        self.abort()
        self.reply(200, b"<CompleteMultipartUploadResult><ETag>\"x\"</ETag>"
                   b"</CompleteMultipartUploadResult>")

    def abort(self):
        for temp, _ in self.server.uploads.pop(self.args["uploadId"],
                                               {}).values():
            os.unlink(temp)


def main():
    a = sys.argv[1:] + [None] * 7
    server = fake_cloud.Cloud(int(a[4] or 0), S3, a[0])
    server.bucket, server.key_id, server.secret = a[1:4]
    server.token = a[5] or None
    server.page = int(a[6] or 1000)
    server.uploads = {}
    fake_cloud.run(server)


main()
