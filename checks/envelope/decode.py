#!/usr/bin/env python3
"""Opens a file encrypted at rest: an implementation of docs/ENVELOPE.md that
shares nothing with the product but that page.

    decode.py --passphrase TEXT | --identity FILE | --master-key NAME=HEX  FILE

writes the content to standard output. It is slow, checks everything, and reads
the whole file into memory; its purpose is to show that the page says all that
is needed. Test inputs only: a passphrase on the command line is nobody's
secret.
"""

import argparse
import hashlib
import hmac
import struct
import sys

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MAGIC = bytes.fromhex("894c4d53450d0a1a")
KEY_LENGTHS = {1: 16, 3: 32}
FINAL, ZEROS = 1, 2
MIB_IN_KIB = 1024


class Refused(Exception):
    """The file breaks a rule of the page."""


class NotOpened(Exception):
    """No slot opens with the key at hand."""


def must(condition, rule):
    if not condition:
        raise Refused(rule)


# --- primitives ---------------------------------------------------------------


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf_extract(salt, key):
    return hmac_sha256(salt, key)


def hkdf_expand(prk, info, length):
    out, block = b"", b""
    for counter in range(1, 256):
        if len(out) >= length:
            break
        block = hmac_sha256(prk, block + info + bytes([counter]))
        out += block
    return out[:length]


def gcm_open(key, nonce, aad, sealed, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused(f"{what} is not authentic") from None


# --- header -------------------------------------------------------------------


class Preamble:
    def __init__(self, file):
        must(file[:8] == MAGIC, "not an envelope")
        must(len(file) >= 64, "cut short in the preamble")
        must(file[8] == 1, f"version {file[8]}")
        self.bytes = file[:64]
        must(file[9] in KEY_LENGTHS, "unknown suite")
        self.key_length = KEY_LENGTHS[file[9]]
        self.header, self.segment = struct.unpack(">II", file[12:20])
        must(file[10:12] == bytes(2) and file[20:32] == bytes(12), "reserved bytes of the preamble")
        must(1024 <= self.header <= 65536 and self.header % 512 == 0, "length of the header")
        must(256 <= self.segment <= 1 << 20, "length of segments")
        must(len(file) >= self.header, "cut short in the header")


class Table:
    """One copy that is whole."""

    def __init__(self, preamble, copy):
        self.preamble, self.copy = preamble, copy
        self.generation, count, zero, length = struct.unpack(">QHHI", copy[:16])
        must(self.generation >= 1 and 1 <= count <= 255 and zero == 0, "head of the slot table")
        must(16 + length <= len(copy) - 64, "length of the slots")
        slots, fill = copy[16 : 16 + length], copy[16 + length : -64]
        must(not any(fill), "what fills the slot table up")
        self.slots = []
        for _ in range(count):
            must(len(slots) >= 4, "a slot is cut short")
            kind, zero, body = struct.unpack(">BBH", slots[:4])
            must(kind != 0 and zero == 0 and len(slots) >= 4 + body, "frame of a slot")
            must(kind in (1, 2, 3) or body <= 2048, "length of an unknown slot")
            self.slots.append((kind, slots[: 4 + body]))
            slots = slots[4 + body :]
        must(not slots, "bytes behind the slots")
        must(sum(kind == 1 for kind, _ in self.slots) <= 8, "too many passphrases")

    def check_mac(self, header_key):
        maced, mac = self.copy[:-64], self.copy[-64:-32]
        must(hmac.compare_digest(hmac_sha256(header_key, self.preamble.bytes + maced), mac), "the header's MAC")


def whole(preamble, copy):
    return hashlib.sha256(preamble.bytes + copy[:-32]).digest() == copy[-32:]


def choose_table(preamble, file):
    size = (preamble.header - 64) // 2
    copies = [file[64 : 64 + size], file[64 + size : 64 + 2 * size]]
    tables = [copy for copy in copies if whole(preamble, copy)]
    must(tables, "both copies of the slot table are damaged")
    if len(tables) == 2 and tables[0] != tables[1]:
        first, second = (struct.unpack(">Q", copy[:8])[0] for copy in tables)
        must(first != second, "two tables of one generation")
        tables = tables[:1] if first > second else tables[1:]
    return Table(preamble, tables[0])


# --- slots --------------------------------------------------------------------


def stretch(passphrase, scheme, numbers, salt):
    if scheme == 1:
        memory, passes, lanes = numbers
        bounded = 1 <= passes <= 64 and 1 <= lanes <= 16 and 8 * lanes <= memory <= MIB_IN_KIB * MIB_IN_KIB
        must(bounded and memory * passes <= 4 * MIB_IN_KIB * MIB_IN_KIB, "cost of Argon2id")
        return hash_secret_raw(
            passphrase, salt, time_cost=passes, memory_cost=memory, parallelism=lanes, hash_len=32, type=Type.ID,
            version=0x13,
        )
    must(scheme == 2, "unknown way of stretching")
    rounds = numbers[0]
    must(numbers[1:] == (0, 0) and 1 <= rounds <= 20_000_000, "cost of PBKDF2")
    return hashlib.pbkdf2_hmac("sha256", passphrase, salt, rounds, 32)


class Passphrase:
    kind = 1

    def __init__(self, text):
        self.text = text.encode()

    def open(self, preamble, slot):
        must(len(slot) == 4 + 108, "length of a passphrase's slot")
        must(slot[5:8] == bytes(3), "reserved bytes of a passphrase's slot")
        numbers, salt, check = struct.unpack(">III", slot[8:20]), slot[20:36], slot[36:52]
        bound, nonce, wrapped = slot[:52], slot[52:64], slot[64:]
        root = hkdf_extract(preamble.bytes, stretch(self.text, slot[4], numbers, salt))
        if hkdf_expand(root, b"limosa envelope passphrase check", 16) != check:
            return None
        key = hkdf_expand(root, b"limosa envelope passphrase", 32)
        return gcm_open(key, nonce, bound, wrapped, "the slot")


class Master:
    kind = 3

    def __init__(self, name, key):
        self.name, self.key = name.encode(), key

    def open(self, preamble, slot):
        length = slot[4]
        must(1 <= length <= 64 and len(slot) == 5 + length + 60, "length of a master key's slot")
        name = slot[5 : 5 + length]
        must(all(0x21 <= byte <= 0x7E for byte in name), "name of a master key")
        if name != self.name:
            return None
        bound, rest = slot[: 5 + length], slot[5 + length :]
        key = hkdf_expand(hkdf_extract(preamble.bytes, self.key), b"limosa envelope master", 32)
        return gcm_open(key, rest[:12], bound, rest[12:], "the slot")


class Identity:
    kind = 2

    def __init__(self, pem):
        self.private = load_pem_private_key(pem, None)
        public = self.private.public_key()
        self.point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = hashlib.sha256(der).digest()

    def open(self, preamble, slot):
        must(len(slot) == 4 + 153, "length of a recipient's slot")
        must(slot[4:12] == bytes.fromhex("0010000100020000"), "algorithms of a recipient's slot")
        if slot[12:44] != self.fingerprint:
            return None
        bound, encapsulated, wrapped = slot[:44], slot[44:109], slot[109:]
        info = b"limosa envelope recipient" + preamble.bytes
        key, nonce = self.hpke(encapsulated, info)
        return gcm_open(key, nonce, bound, wrapped, "the slot")

    def hpke(self, encapsulated, info):
        """RFC 9180, sections 4.1 and 5.1, base mode: key and first nonce."""

        def extract(suite, salt, label, key):
            return hkdf_extract(salt, b"HPKE-v1" + suite + label + key)

        def expand(suite, prk, label, info, length):
            return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)

        kem, suite = b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\x00\x02"
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encapsulated)
        dh = self.private.exchange(ec.ECDH(), other)
        shared = expand(kem, extract(kem, b"", b"eae_prk", dh), b"shared_secret", encapsulated + self.point, 32)
        context = b"\x00" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
        secret = extract(suite, shared, b"secret", b"")
        return expand(suite, secret, b"key", context, 32), expand(suite, secret, b"base_nonce", context, 12)


def file_key(preamble, table, key):
    for kind, slot in table.slots:
        if kind == key.kind:
            opened = key.open(preamble, slot)
            if opened is not None:
                return opened
    raise NotOpened("no slot for this key, or a wrong passphrase")


# --- content ------------------------------------------------------------------


def segment_count(preamble, length):
    stored = preamble.segment + 32
    full, rest = divmod(length - preamble.header, stored)
    if rest == 0 and full > 0:
        return full
    must(rest > 32 or (rest == 32 and full == 0), "cut short: no envelope is that long")
    return full + 1


def open_segment(root, preamble, number, segment, is_last):
    flags, nonce, tag = struct.unpack(">I", segment[:4])[0], segment[4:16], segment[16:32]
    body = segment[32:]
    must(flags & ~(FINAL | ZEROS) == 0, "flags of a segment")
    key = hkdf_expand(root, b"limosa envelope segments" + struct.pack(">Q", number >> 20), preamble.key_length)
    aad = struct.pack(">QII", number, len(body), flags)
    if flags & ZEROS:
        must(not any(body), "something stands in the place of zeros")
        gcm_open(key, nonce, aad, tag, f"segment {number}")
        content = body
    else:
        content = gcm_open(key, nonce, aad, body + tag, f"segment {number}")
    must(bool(flags & FINAL) == is_last, "cut short or extended: the final segment is not the last")
    return content


def decode(file, key):
    """The content of a sealed file."""
    preamble = Preamble(file)
    table = choose_table(preamble, file)
    root = hkdf_extract(preamble.bytes, file_key(preamble, table, key))
    table.check_mac(hkdf_expand(root, b"limosa envelope header", 32))
    count, stored = segment_count(preamble, len(file)), preamble.segment + 32

    def segment(number):
        start = preamble.header + number * stored
        return open_segment(root, preamble, number, file[start : start + stored], number == count - 1)

    last = segment(count - 1)
    return b"".join(segment(number) for number in range(count - 1)) + last


def key_of(arguments):
    if arguments.passphrase is not None:
        return Passphrase(arguments.passphrase)
    if arguments.identity is not None:
        with open(arguments.identity, "rb") as file:
            return Identity(file.read())
    name, digits = arguments.master_key.split("=", 1)
    return Master(name, bytes.fromhex(digits))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--passphrase")
    key.add_argument("--identity")
    key.add_argument("--master-key", metavar="NAME=HEX")
    parser.add_argument("file")
    arguments = parser.parse_args()
    with open(arguments.file, "rb") as file:
        content = file.read()
    try:
        sys.stdout.buffer.write(decode(content, key_of(arguments)))
    except (Refused, NotOpened) as reason:
        sys.exit(f"{arguments.file}: {reason}")


if __name__ == "__main__":
    main()
