# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Builds fault.c, preloads it into a daemon, and tells it what is to fail."""

import contextlib
import errno
import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).with_name("fault.c")
FUNCTIONS = ["malloc", "write", "fsync", "open", "link", "rename", "mkdir", "copy", "send", "recv", "read", "unlink"]
SCOPES = ["any", "files", "database", "client"]
ACTIONS = ["fail", "afterwards", "short", "cut"]
FOR_GOOD = 1 << 62

# struct control of fault.c
RULES, PATH, EVENTS = 8, 512, 32768
HEAD = struct.Struct(f"<II{PATH}s")
RULE = struct.Struct("<IIIIiiQQQQ")
EVENT = struct.Struct("<IIiiQ208s")
COUNT_AT = HEAD.size + RULES * RULE.size
EVENTS_AT = COUNT_AT + 8
SIZE = EVENTS_AT + EVENTS * EVENT.size


def build(directory):
    """The library, compiled once per test session."""
    library = os.path.join(directory, "fault.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-g", "-fno-omit-frame-pointer", "-Wall",
                    "-Wextra", "-Werror", "-o", library, str(SOURCE), "-ldl"], check=True)
    return library


class Event:
    """One call that the daemon made; of "send" path is the beginning of what was sent, and port the client's."""

    def __init__(self, number, fields):
        _, function, self.error, self.port, self.inode, path = fields
        self.number = number
        self.function = FUNCTIONS[function]
        self.path = path.split(b"\0")[0].decode(errors="replace")

    def __repr__(self):
        return f"{self.number} {self.function} {self.path} inode={self.inode} port={self.port} error={self.error}"


class Rule:
    def __init__(self, shim, slot, function):
        self.shim, self.slot, self.function = shim, slot, function

    @property
    def seen(self):
        """How many calls the rule was asked about."""
        return RULE.unpack_from(self.shim.memory, self.shim.rule_at(self.slot))[8]

    @property
    def hit(self):
        """How many it let fail."""
        return RULE.unpack_from(self.shim.memory, self.shim.rule_at(self.slot))[9]

    def end(self):
        self.shim.end(self)


class Shim:
    def __init__(self, library, files):
        self.library = library
        with tempfile.NamedTemporaryFile(prefix="capstan-fault-", delete=False) as f:
            f.truncate(SIZE)
            self.path = f.name
            self.memory = mmap.mmap(f.fileno(), SIZE)
        self.rules = [None] * RULES
        self.logged = 0
        HEAD.pack_into(self.memory, 0, 0, 0, os.path.realpath(files).encode() + b"/")

    def environment(self):
        options = os.environ.get("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        trace = {"CAPSTAN_FAULT_TRACE": "1"} if "CAPSTAN_FAULT_TRACE" in os.environ else {}
        return {**trace, "LD_PRELOAD": self.library, "CAPSTAN_FAULT_CONTROL": self.path,
                # We come before the sanitizer, and a refused malloc() is our doing.
                "ASAN_OPTIONS": options + ":verify_asan_link_order=0:allocator_may_return_null=1"}

    @staticmethod
    def rule_at(slot):
        return HEAD.size + slot * RULE.size

    def tell(self):
        functions = self.logged
        for rule in self.rules:
            if rule:
                functions |= 1 << FUNCTIONS.index(rule.function)
        struct.pack_into("<II", self.memory, 0, functions, self.logged)

    def start(self, function, error="EIO", scope="any", first=1, count=1, action="fail"):
        """From the first-th call on, count calls fail with errno `error`."""
        slot = self.rules.index(None)
        rule = self.rules[slot] = Rule(self, slot, function)
        fields = [FUNCTIONS.index(function), SCOPES.index(scope), ACTIONS.index(action), getattr(errno, error), 0,
                  first, first + count - 1, 0, 0]
        RULE.pack_into(self.memory, self.rule_at(slot), 0, *fields)
        struct.pack_into("<I", self.memory, self.rule_at(slot), 1)
        self.tell()
        return rule

    def end(self, rule):
        """seen and hit remain readable until the slot is used again."""
        if self.rules[rule.slot] is rule:
            self.rules[rule.slot] = None
            struct.pack_into("<I", self.memory, self.rule_at(rule.slot), 0)
            self.tell()

    @contextlib.contextmanager
    def failing(self, function, *args, **options):
        rule = self.start(function, *args, **options)
        try:
            yield rule
        finally:
            rule.end()

    def count(self, function, scope="any"):
        """A rule that only counts."""
        return self.failing(function, scope=scope, first=FOR_GOOD)

    def log(self, *functions):
        """From here on these calls are written down."""
        self.logged = sum(1 << FUNCTIONS.index(f) for f in functions)
        struct.pack_into("<Q", self.memory, COUNT_AT, 0)
        self.memory[EVENTS_AT:] = bytes(SIZE - EVENTS_AT)
        self.tell()

    def events(self):
        self.logged = 0
        self.tell()
        (count,) = struct.unpack_from("<Q", self.memory, COUNT_AT)
        assert count < EVENTS, "the log is full"
        return [Event(i, EVENT.unpack_from(self.memory, EVENTS_AT + i * EVENT.size)) for i in range(count)]

    def close(self):
        self.memory.close()
        os.unlink(self.path)
