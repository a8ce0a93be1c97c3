"""What the kernel keeps a process from, whatever runs in it: other files, the network.

Mesh files, pictures and weights come from anywhere and are opened by large libraries, so a child
program should be able to do nothing but its work.  Linux lets a process give rights up for good,
without being root:

    Landlock (5.13 and later)   it opens files beneath some folders only, by where they really are
    seccomp (3.5 and later)     it opens no sockets but those within the machine

Both hold for all that it starts.  Where the kernel has neither, a call here says so and goes on.
Sources: landlock(7), seccomp(2), and the kernel's headers linux/landlock.h, linux/filter.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from farm.settings import Settings
from renderer import s3

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on every architecture
PATH_BENEATH, VERSION = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS = {1: 13, 2: 14, 3: 15}
"""How many rights a version of Landlock knows, the first bits: 2 has moving between folders more,
3 cutting off; later ones add none that matter here."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

# What Python, Blender, torch and GPU drivers read.  Of /etc only what names no secret.
SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix/store", "/sys",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/ca-certificates", "/etc/fonts",
    "/etc/OpenCL", "/etc/vulkan", "/etc/glvnd", "/etc/alternatives", "/etc/machine-id",
    "/etc/os-release", "/etc/mime.types", "/run/systemd/resolve",
)  # fmt: skip
# Nothing of other processes; what this one starts has another /proc/self, and goes without.
PROCESS = (
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/devices",
    "/proc/driver", "/proc/filesystems", "/proc/modules", "/proc/version", "/proc/loadavg",
    "/proc/uptime", "/proc/bus", "/proc/vmstat",
)  # fmt: skip
# GPUs and shared memory, and no disk: who runs as root may open it.
DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm", "/dev/dri",
    "/dev/kfd", "/dev/infiniband", "/dev/nvidia-caps",
)  # fmt: skip
CACHES = ("~/.cache", "~/.nv", "~/.config/blender", "/var/tmp")  # compiled kernels, settings

STORES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE")

# struct seccomp_data: the call's number, the architecture, its arguments.
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16
LOAD, JUMP_EQUAL, JUMP_LARGER, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # with an errno in its low bits
EACCES, ENOSYS = 13, 38
X32 = 0x40000000
IO_URING_SETUP = 425  # opens sockets as well
SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
WITHIN = (1, 16)  # AF_UNIX, AF_NETLINK


def close(settings: Settings, *, network: bool, writes: Iterable[str | Path] = ()) -> list[str]:
    """Give up, for good, what this process does not need; words for what could not be given up.

    network whether it needs sockets that lead out of the machine
    writes  folders of its own that it reads and writes besides
    Files are confined where the settings have storage roots.  Call it while there is one thread.
    """
    lacking = []
    if not network and not offline():
        lacking.append("the network is open to it: no seccomp here")
    if settings.storage_roots:
        roots = [root for root in settings.storage_roots if "://" not in root]
        # What the kernel does for folders, the door to object stores does for addresses.
        os.environ[s3.ROOTS] = " ".join(set(settings.storage_roots) - set(roots))
        reads = [root for root in settings.roots.values() if root]
        if settings.broker_ca_file:
            reads.append(str(settings.broker_ca_file))
        if network and len(roots) < len(settings.storage_roots):
            reads += ["~/.aws", *(os.environ[name] for name in STORES if name in os.environ)]
        for made_later in ("~/.cache", settings.roots["FARM_SAMPLES_ROOT"]):
            with contextlib.suppress(OSError):  # what is not there yet could not be named below
                Path(made_later).expanduser().mkdir(parents=True, exist_ok=True)
        processes = ("/proc",) if network else PROCESS
        reads = [*SYSTEM, *processes, *_python(), *reads]
        gpus = map(str, Path("/dev").glob("nvidia*"))
        if not beneath(reads, [*DEVICES, *gpus, *_caches(), *roots, *writes]):
            lacking.append("files outside of the storage roots are open to it: no Landlock here")
    return lacking


def _python() -> Iterator[str]:
    """Where this Python and its packages lie."""
    yield from (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
    yield from (path for path in sys.path[1:] if path)  # the first is where it was started
    here = Path(__file__).parents[1]
    yield from (str(here / package) for package in ("farm", "renderer", "trainer"))


def _caches() -> Iterator[str]:
    yield from CACHES
    for name in ("TMPDIR", "XDG_CACHE_HOME", "TORCH_HOME", "CUDA_CACHE_PATH", "OPTIX_CACHE_PATH"):
        if value := os.environ.get(name):
            yield value


# files


def landlock() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _call(CREATE_RULESET, None, 0, VERSION))


def beneath(reads: Iterable[str | Path], writes: Iterable[str | Path]) -> bool:
    """From now on open files beneath these paths only; False where the kernel cannot.

    What does not exist is passed over.  Raises OSError when it can, and does not.
    """
    version = landlock()
    if not version:
        return False
    every = (1 << RIGHTS.get(version, max(RIGHTS.values()))) - 1
    handled = struct.pack("Q", every)
    rules = _done(_call(CREATE_RULESET, handled, len(handled), 0))
    try:
        for paths, rights in ((reads, READ), (writes, every), (("/dev",), READ_DIR)):
            for path in paths:
                _allow(rules, Path(path).expanduser(), rights)
        _done(_prctl(PR_SET_NO_NEW_PRIVS, 1, 0))
        _done(_call(RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        _done(_call(ADD_RULE, rules, PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


# network


def offline() -> bool:
    """From now on open no socket that leads out of the machine; False where the kernel cannot."""
    if sys.platform != "linux" or platform.machine() not in SOCKET:
        return False
    architecture, socket = SOCKET[platform.machine()]
    program = b"".join(_filter(architecture, socket))
    code = ctypes.create_string_buffer(program, len(program))
    handed = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _done(_prctl(PR_SET_NO_NEW_PRIVS, 1, 0))
    with contextlib.suppress(OSError):
        _done(_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(handed)))
        return True
    return False


def _filter(architecture: int, socket: int) -> Iterator[bytes]:
    """Instructions of the filter: what to do, how many to skip if so and if not, with what."""
    families = len(WITHIN)
    yield _step(LOAD, 0, 0, ARCHITECTURE)
    yield _step(JUMP_EQUAL, 1, 0, architecture)
    yield _step(RETURN, 0, 0, REFUSE | ENOSYS)  # 32-bit calls have other numbers
    yield _step(LOAD, 0, 0, NUMBER)
    yield _step(JUMP_LARGER, 1, 0, X32)
    yield _step(JUMP_EQUAL, 0, 1, IO_URING_SETUP)
    yield _step(RETURN, 0, 0, REFUSE | ENOSYS)
    yield _step(JUMP_EQUAL, 1, 0, socket)
    yield _step(RETURN, 0, 0, ALLOW)
    yield _step(LOAD, 0, 0, ARGUMENT)
    for left, family in enumerate(reversed(WITHIN)):
        yield _step(JUMP_EQUAL, families - left, 0, family)
    yield _step(RETURN, 0, 0, REFUSE | EACCES)
    yield _step(RETURN, 0, 0, ALLOW)


def _step(code: int, if_so: int, if_not: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_so, if_not, value)


# calls


def _call(number: int, *arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))


def _prctl(*arguments: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(*arguments, 0, 0))


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
