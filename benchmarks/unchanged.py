"""What blocks below files would save: how much of a checkpoint is the same 100 steps later.

    python -m benchmarks.unchanged

Two checkpoints of one small model are cut into blocks, and the share of blocks is counted that the first
has as well. With torch's CPU build (`make setup`); a minute.
"""

from __future__ import annotations

import io

import torch
import xxhash

SIZES = (64 << 10, 1 << 20, 4 << 20)
WIDTH, LAYERS = 1024, 8


def model() -> torch.nn.Sequential:
    hidden = [m for _ in range(LAYERS) for m in (torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU())]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(WIDTH, 10))


def train(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        loss = net(torch.randn(16, WIDTH)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def saved(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> bytes:
    memory = io.BytesIO()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, memory)
    return memory.getvalue()


def share(before: bytes, after: bytes, block: int) -> float:
    """The share of the blocks of `after` that `before` has too, wherever they stand."""

    def digests(data: bytes) -> list[bytes]:
        return [xxhash.xxh3_128_digest(data[i : i + block]) for i in range(0, len(data), block)]

    known = set(digests(before))
    found = digests(after)
    return sum(digest in known for digest in found) / len(found)


def main() -> None:
    torch.manual_seed(0)
    print("| checkpoint | MiB | " + " | ".join(f"blocks of {size >> 10} KiB" for size in SIZES) + " |")
    print("|---" * (2 + len(SIZES)) + "|")
    for name, frozen in (("all weights train, AdamW", 0), ("7 of 8 hidden layers frozen, in one file", 7)):
        net = model()
        for layer in list(net.children())[: 2 * frozen]:
            layer.requires_grad_(False)
        optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad])
        train(net, optimizer, 3)
        before = saved(net, optimizer)
        train(net, optimizer, 100)
        after = saved(net, optimizer)
        shares = " | ".join(f"{share(before, after, size):.0%}" for size in SIZES)
        print(f"| {name} | {len(after) >> 20} | {shares} |")


if __name__ == "__main__":
    main()
