"""Write what docker/compose.yaml finds beside it, passwords above all: `make secrets`.

docker/redis/    redis.conf, users.acl and secrets/<user>, as deploy.redis makes them
docker/.env      FARM_UID: who owns these, and so who the containers must run as
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy import redis

NOBODY = 10001
"""Who the containers run as where root prepares them: the images' own default."""
SEEN_AT = Path("/var/lib/farm")
SERVER = (7, 0)
"""What Debian's bookworm has, and so the image."""


def main() -> int:
    docker = Path("docker")
    if not (docker / "compose.yaml").is_file():
        print("farm: no docker/compose.yaml here; run it in a clone's own folder", file=sys.stderr)
        return 2
    try:
        written = prepare(docker)
    except (ValueError, OSError) as error:
        print(f"farm: {error}", file=sys.stderr)
        return 1
    print(f"{len(written)} passwords are in {docker / 'redis' / 'secrets'}; next: make up")
    return 0


def prepare(docker: Path) -> dict[str, Path]:
    """Write them; user of Redis -> file with its password. What there is already stays.

    Raises ValueError for a secret that others may read, OSError where nothing can be written.
    """
    folder = docker / "redis"
    uid = os.getuid() or NOBODY
    # Every address of its container: the network around it is the farm's own.
    files = redis.write(folder, bind=("0.0.0.0",), server=SERVER, seen_at=SEEN_AT)
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)
    settings = docker / ".env"
    lines = settings.read_text().splitlines() if settings.exists() else []
    kept = [line for line in lines if not line.startswith("FARM_UID=")]
    made = settings.with_name(".env.part")
    made.write_text("\n".join([*kept, f"FARM_UID={uid}"]) + "\n")
    os.replace(made, settings)
    return files


if __name__ == "__main__":
    sys.exit(main())
