"""Are the shards of 1 and 3 workers the same bytes, and how does the speed grow?

python tests/benchmarks/workers.py [ADDRESS]
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "samples/cars"
    hashes = {}
    with tempfile.TemporaryDirectory() as name:
        for workers in (1, 3):
            out = Path(name) / f"out{workers}"
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "farm.cli", "submit", "render", "--shapes", address]
                + ["--out", str(out), "--workers", str(workers)],
                check=True,
                capture_output=True,
                env={**os.environ, "FARM_HOME": str(Path(name) / f"home{workers}")},
            )
            seconds = time.perf_counter() - began
            hashes[workers] = {
                tar.name: hashlib.sha256(tar.read_bytes()).hexdigest() for tar in out.glob("*.tar")
            }
            print(f"{workers} workers: {len(hashes[workers])} shards in {seconds:.1f} s")
    same = hashes[1] == hashes[3]
    print("identical shards" if same else "THE SHARDS DIFFER")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
