#!/usr/bin/env python3
"""A key server for tests, with the transit API of HashiCorp's Vault.

Written from the documentation of that API alone, with what a client of it meets:
data keys that are given out wrapped, unwrapping, wrapping anew by the newest
version, rotation, tokens, namespaces, refusals in the same words and statuses.
What wraps is made of HMAC-SHA-256, so that nothing beside Python is needed.

    server.py --token TOKEN [--namespace NAME] [--certificate PEM --private-key PEM] [--log FILE]

Prints its port and serves `transit/` at 127.0.0.1 with one key, `limosa`. A line
`rotate` on its standard input gives that key another version, which it says; it
ends when that input does. The log has a line for each request: status, path.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refusal(Exception):
    def __init__(self, status, text):
        self.status, self.text = status, text


class TransitKey:
    """A named key and its versions, the first of which is 1."""

    def __init__(self):
        self.versions = [os.urandom(32)]

    def _seal(self, version, nonce, data):
        key = self.versions[version - 1]
        stream = b""
        while len(stream) < len(data):
            block = len(stream).to_bytes(8, "big")
            stream += hmac.new(key, b"stream" + nonce + block, hashlib.sha256).digest()
        return bytes(a ^ b for a, b in zip(data, stream))

    def _tag(self, version, text):
        return hmac.new(self.versions[version - 1], b"tag" + text, hashlib.sha256).digest()

    def wrap(self, data):
        version, nonce = len(self.versions), os.urandom(16)
        text = nonce + self._seal(version, nonce, data)
        text += self._tag(version, text)
        return f"vault:v{version}:{base64.b64encode(text).decode()}"

    def unwrap(self, ciphertext):
        parts = ciphertext.split(":") if isinstance(ciphertext, str) else []
        if len(parts) != 3 or parts[0] != "vault" or not parts[1].startswith("v"):
            raise Refusal(400, "invalid ciphertext: no prefix")
        try:
            version, text = int(parts[1][1:]), base64.b64decode(parts[2], validate=True)
        except ValueError:
            raise Refusal(400, "invalid ciphertext: could not decode") from None
        if not 1 <= version <= len(self.versions):
            raise Refusal(400, "invalid ciphertext: version is too new")
        text, tag = text[:-32], text[-32:]
        if not hmac.compare_digest(tag, self._tag(version, text)):
            raise Refusal(400, "cipher: message authentication failed")
        return self._seal(version, text[:16], text[16:])


class Transit:
    """The engine mounted at `transit`."""

    def __init__(self):
        self.keys = {"limosa": TransitKey()}

    def answer(self, path, body):
        operation, _, name = path.rpartition("/")
        if operation not in ("datakey/wrapped", "decrypt", "rewrap"):
            raise Refusal(404, "no handler for route")
        key = self.keys.get(name)
        if key is None:
            raise Refusal(400, "encryption key not found")
        if operation == "datakey/wrapped":
            return {"ciphertext": key.wrap(os.urandom(body.get("bits", 256) // 8)), "key_version": len(key.versions)}
        plaintext = key.unwrap(body.get("ciphertext"))
        if operation == "decrypt":
            return {"plaintext": base64.b64encode(plaintext).decode()}
        return {"ciphertext": key.wrap(plaintext), "key_version": len(key.versions)}


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that did not like the certificate is no news."""


def handler(options, transit, lock):

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                status, answer = 200, {"data": self.answer(body)}
            except Refusal as refusal:
                status, answer = refusal.status, {"errors": [refusal.text]}
            except ValueError:
                status, answer = 400, {"errors": ["error parsing JSON"]}
            if options.log:
                with lock, open(options.log, "a", encoding="utf-8") as log:
                    log.write(f"{status} {self.path}\n")
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def answer(self, body):
            if self.headers.get("X-Vault-Token") != options.token:
                raise Refusal(403, "permission denied")
            if self.headers.get("X-Vault-Namespace") != options.namespace:
                raise Refusal(404, "no handler for route")
            if not self.path.startswith("/v1/transit/"):
                raise Refusal(404, "no handler for route")
            with lock:
                return transit.answer(self.path.removeprefix("/v1/transit/"), json.loads(body or b"{}"))

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--token", required=True)
    parser.add_argument("--namespace")
    parser.add_argument("--certificate")
    parser.add_argument("--private-key")
    parser.add_argument("--log")
    options = parser.parse_args()
    transit, lock = Transit(), threading.Lock()
    server = Server(("127.0.0.1", 0), handler(options, transit, lock))
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.private_key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        if line.strip() == "rotate":
            with lock:
                transit.keys["limosa"].versions.append(os.urandom(32))
            print("rotated", flush=True)


if __name__ == "__main__":
    main()
