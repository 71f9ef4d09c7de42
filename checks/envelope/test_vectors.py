#!/usr/bin/env python3
"""Opens every vector of docs/envelope-vectors.txt, whole and damaged."""

import pathlib
import sys

import decode

ROOT = pathlib.Path(__file__).resolve().parents[2]


def vectors():
    text = (ROOT / "docs/envelope-vectors.txt").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for block in lines.split("\n\n"):
        fields = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        if fields:
            yield fields


def key_of(vector):
    if "passphrase" in vector:
        return decode.Passphrase(vector["passphrase"])
    if "identity" in vector:
        return decode.Identity((ROOT / "crates/seal/tests/keys" / vector["identity"]).read_bytes())
    return decode.Master(vector["master-id"], bytes.fromhex(vector["master-key"]))


def is_refused(file, key):
    try:
        decode.decode(file, key)
    except (decode.Refused, decode.NotOpened):
        return True
    return False


def main():
    count = 0
    for vector in vectors():
        file, key = bytes.fromhex(vector["file"]), key_of(vector)
        content = decode.decode(file, key)
        assert content == bytes.fromhex(vector.get("content", "")), vector["name"]
        header = decode.Preamble(file).header
        for at in range(header, len(file), 13):
            damaged = bytearray(file)
            damaged[at] ^= 1 << at % 8
            assert is_refused(bytes(damaged), key), (vector["name"], at)
        for length in range(0, len(file), 41):
            assert is_refused(file[:length], key), (vector["name"], length)
        count += 1
    assert count == 8, count
    print(f"{count} vectors")


if __name__ == "__main__":
    sys.exit(main())
