# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What the suites of faults share."""

from place import pattern

STALLED = 1             # CAPSTAN_ARTIFACT_STALL_SECONDS
FOREVER = 10**6
TRIES = 6               # REMOTE_TRIES
SMALL, LARGE = 100_000, (20 << 20) + 5
BODIES = {SMALL: pattern(SMALL, 1), LARGE: pattern(LARGE, 2)}
KINDS = ["versitygw", "gcs"]


def name(value):
    """Of parameters that are pairs of words."""
    return "-".join(value) if isinstance(value, tuple) and all(isinstance(v, str) for v in value) else None


def stored(place, size):
    key = f"t/download/{size}"
    if place.stored(key) is None:
        place.store_put(key, BODIES[size])
    return key


def of_object(place, **more):
    """Only GETs of the bytes: not lists, not metadata."""
    return {"method": "GET", "when": lambda x: "list-type" not in x.query and "prefix=" not in x.query and (place.kind != "gcs" or "alt=media" in x.query), **more}
