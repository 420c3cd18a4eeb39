"""Of several processes one reads; what it read reaches the others as bytes, in one order for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from model.training.devices import Devices


def handed_out(devices: Devices, portions: Iterable[bytes]) -> Iterator[bytes]:
    """The main process's portions, none of them empty, in every process; the others' own are not looked at."""
    if devices.processes == 1:
        yield from portions
        return
    if not devices.main:
        while portion := devices.bytes_from_main(b""):
            yield portion
        return
    for portion in portions:
        yield devices.bytes_from_main(portion)
    devices.bytes_from_main(b"")
