"""The files in docker/, as linters and Docker Compose read them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.docker.conftest import FILES, ROOT, tool
from tests.docker.dockerfile import Run, read


@pytest.mark.parametrize("name", FILES)
def test_a_linter_finds_nothing(name: str) -> None:
    file = ROOT / "docker" / f"{name}.Dockerfile"

    done = subprocess.run(
        [tool("hadolint"), "--no-color", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", FILES)
def test_what_runs_is_nobody_special_and_says_whether_it_is_well(name: str) -> None:
    *_, image = read((ROOT / "docker" / f"{name}.Dockerfile").read_text(), {})

    assert image.user == "10001"
    assert image.health
    assert image.entrypoint


def test_an_unknown_instruction_is_an_error() -> None:
    with pytest.raises(ValueError, match="ONBUILD"):
        read("FROM scratch\nONBUILD RUN true\n", {})


def test_every_service_is_shut_in(model: Mapping[str, Any]) -> None:
    for name, service in model["services"].items():
        assert service["user"] not in ("", "0"), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged") and not service.get("cap_add"), name
        assert "network_mode" not in service and "pid" not in service, name


def test_nothing_is_published_beyond_loopback_and_redis_not_at_all(
    model: Mapping[str, Any],
) -> None:
    ports = {name: service.get("ports", []) for name, service in model["services"].items()}

    assert not ports["redis"]
    assert all(port["host_ip"] == "127.0.0.1" for found in ports.values() for port in found)
    assert model["networks"]["inside"]["internal"]
    assert list(model["services"]["redis"]["networks"]) == ["inside"]


def test_secrets_come_as_files_and_each_service_gets_its_own(
    model: Mapping[str, Any], docker: Path
) -> None:
    passwords = {
        path.name: path.read_text().strip() for path in (docker / "redis/secrets").iterdir()
    }
    told = str(model["services"])

    assert len(passwords) == 4
    assert not any(password in told for password in passwords.values())
    for name, service in model["services"].items():
        if name == "redis":
            continue
        (secret,) = service["secrets"]
        environment = service["environment"]
        assert environment["FARM_BROKER_PASSWORD_FILE"] == secret["target"], name
        assert f"//{secret['source']}@redis:" in environment["FARM_BROKER_URL"], name


def test_gpus_are_a_profile(model: Mapping[str, Any]) -> None:
    gpu = {name for name, service in model["services"].items() if "deploy" in service}

    assert gpu == {"renderer-gpu", "trainer-gpu"}
    for name in gpu:
        service = model["services"][name]
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert service["profiles"] == ["gpu"]


def test_without_passwords_compose_says_what_to_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docker" / "compose.yaml", tmp_path)

    done = subprocess.run(
        [tool("docker-compose"), "--file", str(tmp_path / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin"},
        check=False,
    )

    assert done.returncode != 0
    assert "run `make secrets` first" in done.stderr


def test_the_renderer_brings_every_library_that_blender_links_against() -> None:
    spec = find_spec("bpy")
    if spec is None or spec.origin is None or not shutil.which("dpkg-query"):
        pytest.skip("needs bpy and Debian")
    module = Path(spec.origin).with_suffix(".so")
    linked = subprocess.run(["ldd", str(module)], capture_output=True, text=True, check=True).stdout
    ours = (
        path
        for path in re.findall(r"=> (/\S+)", linked)
        if not Path(path).is_relative_to(module.parent)
    )
    paths = sorted({str(Path(path).resolve()) for path in ours})
    told = subprocess.run(
        ["dpkg-query", "--search", *paths], capture_output=True, text=True, check=False
    )
    needed = {line.partition(":")[0] for line in told.stdout.splitlines()}
    assert "libx11-6" in needed

    brought = closure(named_in("renderer"))

    assert needed <= brought | SLIM


# Of what the needed libraries come in, python:slim has these.
SLIM = {"libc6", "libgcc-s1", "libstdc++6", "libuuid1"}


def named_in(name: str) -> set[str]:
    """The packages that a Dockerfile's apt-get lines name."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    commands = (s.command for image in read(text, {}) for s in image.steps if isinstance(s, Run))
    found: set[str] = set()
    for command in commands:
        for part in command.split("&&"):
            words = shlex.split(part)
            if words[:2] in (["apt-get", "install"], ["apt-get", "download"]):
                found |= {word for word in words[2:] if not word.startswith("-")}
    return found


def closure(packages: set[str]) -> set[str]:
    """These packages and all that they depend on."""
    words = ["--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
             "--no-replaces", "--no-enhances"]  # fmt: skip
    done = subprocess.run(
        ["apt-cache", "depends", *words, *sorted(packages)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("no lists of Debian's packages; apt-get update fetches them")
    return set(re.findall(r"^(\S+)$", done.stdout, re.MULTILINE))
