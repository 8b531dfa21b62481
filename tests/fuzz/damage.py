"""What disks, networks, editors and hands do to files. Every damage follows from a seed."""

import re
from collections.abc import Callable

import numpy as np

_NUMBERS = (
    b"-1",
    b"0",
    b"2147483648",
    b"4294967297",
    b"99999999999999999999",
    b"1e999",
    b"-inf",
    b"nan",
    b"0x10",
    b"1_0",
    b".",
)
_WORDS = (
    b"\xff\xfe",
    b"\xe2\x80\xa8",
    b"\xc2\xa0",
    b"\0",
    b"\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"[",
    b"]",
    b"<",
    b'"',
    b"\x1b[2J",
)
_EXTREMES = (0, 1, -1, 2**31 - 1, -(2**31), 2**30, 2**24 + 1)

Generator = np.random.Generator


def truncate(data: bytes, random: Generator) -> bytes:
    return data[: int(random.integers(len(data)))]


def flip_a_bit(data: bytes, random: Generator) -> bytes:
    place = int(random.integers(len(data)))
    return data[:place] + bytes([data[place] ^ (1 << int(random.integers(8)))]) + data[place + 1 :]


def flip_a_bit_of_the_head(data: bytes, random: Generator) -> bytes:
    return flip_a_bit(data[:64], random) + data[64:]


def change_bytes(data: bytes, random: Generator) -> bytes:
    place, count = int(random.integers(len(data))), int(random.integers(1, 9))
    return data[:place] + random.bytes(count) + data[place + count :]


def set_an_integer(data: bytes, random: Generator) -> bytes:
    """Four bytes become a number that a length or index should not be."""
    place = int(random.integers(len(data)))
    value = int(random.choice(_EXTREMES)).to_bytes(4, "little", signed=True)
    return data[:place] + value + data[place + 4 :]


def zero(data: bytes, random: Generator) -> bytes:
    place, count = int(random.integers(len(data))), int(random.integers(1, 600))
    return data[:place] + bytes(min(count, len(data) - place)) + data[place + count :]


def remove(data: bytes, random: Generator) -> bytes:
    place, count = int(random.integers(len(data))), int(random.integers(1, 40))
    return data[:place] + data[place + count :]


def repeat(data: bytes, random: Generator) -> bytes:
    place, count = int(random.integers(len(data))), int(random.integers(1, 200))
    return data[: place + count] + data[place:]


def insert(data: bytes, random: Generator) -> bytes:
    place = int(random.integers(len(data) + 1))
    return data[:place] + _WORDS[int(random.integers(len(_WORDS)))] + data[place:]


def change_a_number(data: bytes, random: Generator) -> bytes:
    """One of the numbers in a text becomes another one, or none at all."""
    places = list(re.finditer(rb"-?\d[\d.]*", data))
    if not places:
        return insert(data, random)
    match = places[int(random.integers(len(places)))]
    return data[: match.start()] + _NUMBERS[int(random.integers(len(_NUMBERS)))] + data[match.end() :]


def swap_lines(data: bytes, random: Generator) -> bytes:
    lines = data.split(b"\n")
    first, second = (int(random.integers(len(lines))) for _ in range(2))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def lose_a_word(data: bytes, random: Generator) -> bytes:
    places = list(re.finditer(rb"\S+[ \t]?", data))
    match = places[int(random.integers(len(places)))] if places else None
    return data[: match.start()] + data[match.end() :] if match else data


def add(data: bytes, random: Generator) -> bytes:
    return data + random.bytes(int(random.integers(1, 30)))


KINDS: tuple[Callable[[bytes, Generator], bytes], ...] = (
    truncate,
    flip_a_bit,
    flip_a_bit_of_the_head,
    change_bytes,
    set_an_integer,
    zero,
    remove,
    repeat,
    insert,
    change_a_number,
    swap_lines,
    lose_a_word,
    add,
)
