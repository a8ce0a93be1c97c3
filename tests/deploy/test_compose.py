"""What `make secrets` writes beside docker/compose.yaml."""

from __future__ import annotations

import os
from pathlib import Path

from deploy import compose


def test_prepared_again_passwords_and_a_persons_own_settings_stay(tmp_path: Path) -> None:
    before = {user: path.read_text() for user, path in compose.prepare(tmp_path).items()}
    (tmp_path / ".env").write_text("FARM_DATA=/srv/shapes\nFARM_UID=7\n")

    after = {user: path.read_text() for user, path in compose.prepare(tmp_path).items()}

    uid = os.getuid() or compose.NOBODY
    assert after == before
    assert (tmp_path / ".env").read_text() == f"FARM_DATA=/srv/shapes\nFARM_UID={uid}\n"


def test_whoever_the_containers_run_as_can_read_the_secrets_and_nobody_else(
    tmp_path: Path,
) -> None:
    files = compose.prepare(tmp_path)

    uid = os.getuid() or compose.NOBODY
    for path in (*files.values(), tmp_path / "redis" / "redis.conf", tmp_path / "redis/users.acl"):
        assert path.stat().st_uid == uid
        assert path.stat().st_mode & 0o777 == 0o600


def test_redis_looks_for_its_files_where_the_container_has_them(tmp_path: Path) -> None:
    compose.prepare(tmp_path)

    told = (tmp_path / "redis" / "redis.conf").read_text()
    assert 'aclfile "/var/lib/farm/users.acl"' in told
    assert 'dir "/var/lib/farm/data"' in told
    assert str(tmp_path) not in told
