"""lab.toml is read strictly: what is wrong is named, with what would be right."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import InventoryRefused
from deploy.inventory import Lab, check, read, spread

ROOT = Path(__file__).parents[2]
REDIS = '[redis]\nurl = "redis://server/0"\npasswords = "secrets"\n'
HOST = '[hosts.a]\nroles = ["render"]\n'


def lab(text: str) -> Lab:
    return check(tomllib.loads(text), "lab.toml", Path("/lab"))


def refusal(text: str) -> str:
    with pytest.raises(InventoryRefused) as refused:
        lab(text)
    return str(refused.value)


def test_a_range_is_so_many_hosts_with_addresses_of_their_own() -> None:
    found = lab(REDIS + '[hosts."gpu[09-11]"]\naddress = "10.0.0.[1-3]"\nroles = ["train"]\n')

    assert [(host.name, host.address) for host in found.hosts] == [
        ("gpu09", "10.0.0.1"),
        ("gpu10", "10.0.0.2"),
        ("gpu11", "10.0.0.3"),
    ]


@given(first=st.integers(0, 200), count=st.integers(1, 30), width=st.integers(1, 4))
def test_a_range_keeps_its_zeros_and_misses_none(first: int, count: int, width: int) -> None:
    last = first + count - 1

    names = spread(f"h[{first:0{width}d}-{last}].lab")

    assert [int(name[1:-4]) for name in names] == list(range(first, last + 1))
    assert all(len(name) >= width + 5 for name in names)


@pytest.mark.parametrize("text", ["h[3-1]", "h[a-b]", "h[1-]", "h[1-99999]", "h[,]"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="h"):
        spread(text)


def test_a_host_has_what_the_top_says_unless_it_says_it_itself() -> None:
    found = lab(
        'user = "farm"\nroot = "/srv/farm"\nenvironment = { A = "1", B = "2" }\n'
        "settings = { lease_s = 9 }\n"
        + REDIS
        + HOST
        + '[hosts.b]\nroles = ["cpu"]\nuser = "bob"\nenvironment = { B = "3" }\n'
        "settings = { tries = 2 }\n"
    )

    a, b = found.hosts
    assert (a.user, a.root, a.environment) == ("farm", "/srv/farm", {"A": "1", "B": "2"})
    assert (b.user, b.root, b.environment) == ("bob", "/srv/farm", {"A": "1", "B": "3"})
    assert b.settings == {"lease_s": 9, "tries": 2}


def test_files_are_seen_from_the_inventorys_folder() -> None:
    found = lab('known_hosts = "known"\nkey = "keys/lab"\n' + REDIS + HOST)

    assert found.known_hosts == Path("/lab/known")
    assert found.hosts[0].key == Path("/lab/keys/lab")
    assert found.redis.passwords == Path("/lab/secrets")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('usr = "x"\n' + REDIS + HOST, "unknown key 'usr' at the top; did you mean 'user'?"),
        (REDIS + HOST + "gpu = 1\n", "hosts.a: unknown key 'gpu'; did you mean 'gpus'?"),
        (REDIS + '[hosts.a]\nroles = ["rendr"]\n', "no role 'rendr'; did you mean 'render'?"),
        (REDIS + "[hosts.a]\n", "hosts.a: key 'roles' is missing"),
        (REDIS + '[hosts.a]\nroles = ["render", "train"]\n', 'take "both"'),
        (REDIS + HOST + 'port = "x"\n', "hosts.a: key 'port' ('x')"),
        (REDIS + HOST + 'gpus = "all"\n', "gpus = 'all': \"auto\" or numbers such as [0, 1]"),
        (REDIS + HOST + 'root = "farm"\n', "root 'farm' must be a full path or begin with ~/"),
        (REDIS + HOST + 'root = "/a b"\n', "of letters, digits"),
        (REDIS + HOST + "settings = { leas_s = 1 }\n", "did you mean 'lease_s'?"),
        (REDIS + HOST + 'settings = { lease_s = "x" }\n', "FARM_LEASE_S ('x') must be a float"),
        (REDIS + HOST + 'settings = { home = "/x" }\n', "home is what deploy itself writes"),
        (REDIS + HOST + 'environment = { FARM_TRIES = "1" }\n', "write tries in [settings]"),
        (REDIS + HOST + 'environment = { A = "1\\n2" }\n', "no variable of one line"),
        (REDIS + HOST + 'storage_roots = ["data"]\n', "storage_roots 'data' must be a full path"),
        (REDIS + '[hosts."h[1-2]"]\naddress = "a"\nroles = ["cpu"]\n', "1 addresses for 2 hosts"),
        (REDIS + HOST + '[hosts."a b"]\nroles = ["cpu"]\n', "the name 'a b' will not do"),
        (REDIS + HOST + 'arguments = { monitor = ["-x"] }\n', "none of its roles"),
        (REDIS + HOST + 'arguments = { render = ["a b"] }\n', "words without spaces"),
        (REDIS, "no hosts; add a table such as [hosts.gpu1]"),
        (HOST, "no [redis]"),
        (HOST + '[redis]\nurl = "redis://me:pw@server/0"\n', "without user and password"),
        (HOST + '[redis]\nurl = "redis://server/0"\n', "no passwords for redis://server/0"),
        ("keep = 0\n" + REDIS + HOST, "keep = 0: a whole number is wanted, at least 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(text: str, told: str) -> None:
    assert told in refusal(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refusal('usr = "x"\n' + REDIS + HOST + "gpu = 1\n[hosts.b]\nport = 1\n")

    assert all(each in told for each in ("'usr'", "'gpu'", "'roles' is missing"))
    assert "\n" not in told


def test_a_password_in_the_address_is_not_told_again() -> None:
    assert "geheim" not in refusal(HOST + '[redis]\nurl = "redis://me:geheim@server/0"\n')


def test_hosts_are_chosen_by_name_range_or_pattern() -> None:
    found = lab(REDIS + '[hosts."gpu[1-4]"]\nroles = ["render"]\n[hosts.desk]\nroles = ["cpu"]\n')

    def names(*patterns: str) -> list[str]:
        return [host.name for host in found.chosen(patterns)]

    assert names() == ["gpu1", "gpu2", "gpu3", "gpu4", "desk"]
    assert names("desk", "gpu[2-3]") == ["gpu2", "gpu3", "desk"]
    assert names("gpu*") == ["gpu1", "gpu2", "gpu3", "gpu4"]
    with pytest.raises(ValueError, match=r"no host 'gpu9' in lab.toml; did you mean 'gpu\d'\?"):
        names("gpu9")


def test_a_host_needs_the_extras_of_its_roles_and_those_it_names() -> None:
    found = lab(
        REDIS + '[hosts.a]\nroles = ["controller"]\n[hosts.b]\nroles = ["both"]\n'
        '[hosts.c]\nroles = ["monitor", "render"]\nextras = ["deploy"]\n'
    )

    assert [host.needs for host in found.hosts] == [
        (),
        ("render", "train"),
        ("deploy", "monitor", "render"),
    ]
    assert [host.users for host in found.hosts] == [
        ("controller",),
        ("worker",),
        ("monitor", "worker"),
    ]


def test_the_example_is_one() -> None:
    found = read(ROOT / "docs" / "examples" / "lab.toml")

    assert len(found.hosts) == 6
