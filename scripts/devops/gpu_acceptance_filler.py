"""Holds nearly all free memory of the GPU until its stdin ends: the other process of the check `vram_exhausted`.

Run by `gpu_acceptance_faults` as `python gpu_acceptance_filler.py LEAVE_BYTES`. Prints one JSON line once it holds the
memory. It ends with whoever started it, since the pipe then ends too.
"""

from __future__ import annotations

import json
import sys

PIECE_BYTES = 256 * 1024**2


def main() -> None:
    import torch

    leave_bytes = int(sys.argv[1])
    held = []
    torch.zeros(1, device="cuda:0")  # the context takes its own share first
    before = torch.cuda.mem_get_info(0)[0]
    while (spare := torch.cuda.mem_get_info(0)[0] - leave_bytes) > 0:
        size = spare // 2 if spare > 4 * PIECE_BYTES else min(spare, PIECE_BYTES)
        held.append(torch.empty(size, dtype=torch.uint8, device="cuda:0"))
    free, total = torch.cuda.mem_get_info(0)
    print(json.dumps({"free_before": before, "free_bytes": free, "total_bytes": total}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
