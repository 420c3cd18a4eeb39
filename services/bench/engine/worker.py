"""The process of one host: loads it, then answers the benchmark's questions until the socket closes.

`python -m services.bench.engine.worker FD START`; stdout and stderr are the host's own and go to a log.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TextIO

import torch
from pydantic import TypeAdapter

from contracts.errors import RankGRError
from services.bench.engine import memory
from services.bench.engine.ceiling import product_flops
from services.bench.engine.host import Host
from services.bench.engine.hosts import host_of
from services.bench.engine.messages import (
    Answer,
    Ask,
    Failed,
    Found,
    Multiplied,
    Multiply,
    Question,
    Ready,
    SentList,
    Start,
)

MIB = 2**20
_QUESTION: TypeAdapter[Ask | Multiply] = TypeAdapter(Question)


def work(start: Start, questions: TextIO, answers: TextIO) -> None:
    """Load, say Ready or Failed, then answer line by line."""
    torch.set_num_threads(start.threads)
    try:
        host = host_of(start)
    except RankGRError as error:
        _say(answers, Failed(why=str(error)))
        return
    _say(answers, Ready(about=host.about()))
    device = torch.device(start.device)
    for line in questions:
        question = _QUESTION.validate_json(line)
        if isinstance(question, Multiply):
            _say(answers, Multiplied(flops=product_flops(device, getattr(torch, start.dtype))))
            continue
        try:
            _say(answers, measure(host, question, device))
        except RankGRError as error:
            _say(answers, Failed(why=str(error)))


def measure(host: Host, asked: Ask, device: torch.device) -> Found:
    """Decode once, with clock and memory watched.  Raises RankGRError."""
    here = os.getpid()
    memory.forget_peaks(here)
    before_mb = memory.resident_mb(here)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    decoded = host.decode(asked)
    seconds = time.perf_counter() - started
    peak_mb = memory.peak_mb(here)
    lists = decoded.lists if asked.lists and decoded.lists is not None else []
    return Found(
        seconds=seconds if decoded.seconds is None else decoded.seconds,
        stages_ms=decoded.stages_ms,
        lists=[SentList.of(listed) for listed in lists],
        peak_rss_mb=peak_mb,
        grown_mb=max(0.0, peak_mb - before_mb),
        device_mb=torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None,
        counts=decoded.counts,
        extrapolated=decoded.seconds is not None,
    )


def _say(answers: TextIO, answer: Answer) -> None:
    answers.write(answer.model_dump_json() + "\n")
    answers.flush()


def main() -> None:
    """Take the socket that the benchmark left open for us."""
    with socket.socket(fileno=int(sys.argv[1])) as line:
        start = Start.model_validate_json(sys.argv[2])
        with line.makefile("r", encoding="utf-8") as questions, line.makefile("w", encoding="utf-8") as answers:
            work(start, questions, answers)


if __name__ == "__main__":
    main()
