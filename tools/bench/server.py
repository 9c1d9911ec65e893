"""How many requests a second `tadicodec serve` answers, how long they take, and what a thousand bad ones do to it.

    python tools/bench/server.py --requests 48

Starts a server of its own on loopback with the bundled models and prints a Markdown table. Bounded: so many requests
for each number of clients, and no longer than --minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

SAMPLES = Path(__file__).parents[2] / "samples"
TEXT = "Good morning, this is one sentence of usual length."
CLIENTS = (1, 4, 16)
BAD = 1000


class Server(NamedTuple):
    url: str
    pid: int


@contextmanager
def running_server(threads: int = 1) -> Iterator[Server]:
    """A server with one voice, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "anna.safetensors"
        subprocess.run(
            [sys.executable, "-m", "tadicodec", "prompt", str(SAMPLES / "austen_2.flac"), str(voice)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        command = [sys.executable, "-m", "tadicodec", "serve", "--port", "0", "--voices", folder]
        command += ["--threads", str(threads)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            url = next(found[1] for line in lines if (found := re.search(r"running on (\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield Server(url, process.pid)
        finally:
            process.terminate()
            process.wait(60)


Ask = Callable[[httpx.Client, str], httpx.Response]


def encode(client: httpx.Client, url: str) -> httpx.Response:
    return client.post(f"{url}/encode", content=(SAMPLES / "austen_2.flac").read_bytes())


def transcribe(client: httpx.Client, url: str) -> httpx.Response:
    file = (SAMPLES / "austen_2.flac").read_bytes()
    return client.post(f"{url}/v1/audio/transcriptions", files={"file": file}, data={"model": "tadicodec"})


def speak(client: httpx.Client, url: str) -> httpx.Response:
    body = {"input": TEXT, "voice": "anna", "response_format": "wav"}
    return client.post(f"{url}/v1/audio/speech", json=body)


def load(ask: Ask, server: Server, clients: int, requests: int, until: float) -> list[float]:
    """Seconds of each request, `clients` of them at a time."""
    took: list[float] = []

    def work(_: int) -> None:
        if time.monotonic() > until:
            return
        began = time.monotonic()
        ask(client, server.url).raise_for_status()
        took.append(time.monotonic() - began)

    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(requests)))
    return took


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def bad_requests(server: Server, count: int) -> tuple[Counter[int], list[int]]:
    """Statuses of `count` bad requests, and the server's memory [bytes] before, after a fifth, and after all."""
    recording = (SAMPLES / "austen_2.flac").read_bytes()
    kinds: list[tuple[str, dict[str, object]]] = [
        ("/encode", {"content": b""}),
        ("/encode", {"content": os.urandom(100_000)}),
        ("/encode", {"content": recording[:5000], "params": {"voice": "nobody"}}),
        ("/encode", {"content": bytes(26_000_000)}),
        ("/decode", {"content": recording}),
        ("/decode", {"content": b"\x89TDC" + os.urandom(2000)}),
        ("/v1/audio/speech", {"content": b"{"}),
        ("/v1/audio/speech", {"json": {"input": "x" * 100_000, "voice": "anna"}}),
        ("/v1/audio/speech", {"json": {"input": "...", "voice": "anna"}}),
        ("/v1/audio/transcriptions", {"files": {"file": os.urandom(50_000)}, "data": {"model": "x"}}),
        ("/v1/audio/transcriptions", {"content": b"no form"}),
        ("/nothing", {}),
    ]
    statuses: Counter[int] = Counter()

    def one(number: int) -> int:
        path, options = kinds[number % len(kinds)]
        try:
            with httpx.Client(timeout=60) as client:
                return client.post(f"{server.url}{path}", **options).status_code  # type: ignore[arg-type]
        except httpx.WriteError:  # it was refused, and the line closed, before all of it was sent
            return 413

    memory = [resident(server.pid)]
    with ThreadPoolExecutor(8) as pool:
        for numbers in (range(count // 5), range(count // 5, count)):
            statuses.update(pool.map(one, numbers))
            memory.append(resident(server.pid))
    return statuses, memory


def resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text)[1])  # type: ignore[index]


def machine() -> str:
    """The processor's kind, how many, and how busy they were with other work."""
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*: (.*)", text)
    return f"{os.cpu_count()} x {found[1] if found else 'unknown'}, load average before {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=48, help="for each route and number of clients (48)")
    parser.add_argument("--minutes", type=float, default=6.0, help="at most for all of them (6)")
    parser.add_argument("--bad", type=int, default=BAD, help="bad requests (1000)")
    parser.add_argument("--threads", type=int, default=1, help="of the server's arithmetic (1)")
    args = parser.parse_args()
    print(f"{machine()}, {args.threads} threads\n")
    with running_server(args.threads) as server:
        with httpx.Client(timeout=120) as client:
            for ask in (encode, transcribe, speak):
                ask(client, server.url).raise_for_status()
        print("| request | clients | requests/s | p50, s | p95, s |\n|---|---:|---:|---:|---:|")
        until = time.monotonic() + 60 * args.minutes
        for ask in (encode, transcribe, speak):
            for clients in CLIENTS:
                began = time.monotonic()
                took = load(ask, server, clients, args.requests, until)
                rate = len(took) / (time.monotonic() - began)
                figures = f"{rate:.1f} | {percentile(took, 0.5):.2f} | {percentile(took, 0.95):.2f}" if took else "| |"
                print(f"| {ask.__name__} | {clients} | {figures} |", flush=True)
        statuses, memory = bad_requests(server, args.bad)
        grown = ", ".join(f"{size / 1e6:.0f}" for size in memory)
        print(
            f"\n{args.bad} bad requests: {dict(sorted(statuses.items()))}; MB before, after a fifth, after all: {grown}"
        )
        health = httpx.get(f"{server.url}/health", timeout=30)
        print("health afterwards:", health.status_code, health.text)


if __name__ == "__main__":
    main()
