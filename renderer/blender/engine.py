"""Start Blender's Python module once, set Cycles up, choose the device.

Cycles settings and what they cost or bring were measured: `docs/performance.md`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from renderer.layout import AMBIENT

MIN_VERSION = (4, 5)

# Debian's package for each library that bpy links against and a bare machine may lack.
SYSTEM_PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libXkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgomp.so.1": "libgomp1",
}


class NoBlender(ImportError):
    """This machine cannot render; one line says what to do. No shape is to blame."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What Cycles computes on."""

    kind: str
    """CPU, OPTIX, CUDA, HIP, ONEAPI or METAL."""
    name: str
    why: str
    """Why this one."""


def import_bpy() -> Any:
    """The bpy module.

    Raises NoBlender with the remedy in one line: the extra, the Python, or the system packages.
    """
    try:
        import bpy
    except ModuleNotFoundError as error:
        if error.name not in ("bpy", "_bpy"):
            raise
        raise NoBlender(
            "Blender's Python module is not installed; rendering needs Python 3.11 or 3.13 and "
            "`pip install 'shapefarm[render]'`"
        ) from error
    except ImportError as error:
        raise NoBlender(missing_library(str(error))) from error
    if bpy.app.version < MIN_VERSION:
        raise NoBlender(f"bpy {bpy.app.version_string} is too old; 4.5 or newer is needed")
    return bpy


def missing_library(message: str) -> str:
    """What to install, from the message of the dynamic loader."""
    match = re.search(r"(lib[\w.+-]+\.so[.\d]*)", message)
    if not match:
        return f"Blender's Python module does not load: {message}"
    packages = " ".join(dict.fromkeys(SYSTEM_PACKAGES.values()))
    first = SYSTEM_PACKAGES.get(match[1], f"the package that has {match[1]}")
    return f"Blender needs {match[1]} ({first}); on Debian: apt-get install {packages}"


def start(threads: int | None = None) -> Device:
    """Load Blender, empty, with Cycles on the best device of this machine.

    threads  CPU threads of a render; None lets Cycles take them all
    """
    bpy = import_bpy()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    device = choose_device(bpy)
    configure(threads=threads, device=device)
    return device


def choose_device(bpy: Any) -> Device:
    """OptiX, CUDA, HIP, oneAPI or Metal where Cycles finds one, else the CPU."""
    wanted = os.environ.get("FARM_DEVICE", "").upper()
    preferences = bpy.context.preferences.addons["cycles"].preferences
    offered = [name for name, *_ in preferences.get_device_types(bpy.context) if name != "NONE"]
    if wanted == "CPU":
        return Device(kind="CPU", name=_cpu_name(), why="FARM_DEVICE asks for it")
    for kind in ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL"):
        if kind not in offered or wanted not in ("", kind):
            continue
        found = [d for d in preferences.get_devices_for_type(kind) or [] if d.type == kind]
        if found:
            preferences.compute_device_type = kind
            for device in preferences.devices:
                device.use = device.type == kind
            return Device(kind=kind, name=found[0].name, why=f"Cycles found it by {kind}")
    if wanted:
        raise NoBlender(f"FARM_DEVICE is {wanted}, but Cycles finds no such device; unset it")
    return Device(kind="CPU", name=_cpu_name(), why=f"Cycles finds no GPU by {', '.join(offered)}")


def configure(*, threads: int | None, device: Device) -> None:
    """Set the empty scene up: Cycles, passes, output; everything that no job changes."""
    import bpy

    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU" if device.kind == "CPU" else "GPU"
    cycles.use_denoising = False
    cycles.use_adaptive_sampling = False
    cycles.use_animated_seed = False
    # Caustics are noise at these sample counts, and a few bounces are all a lone shape has.
    cycles.caustics_reflective = cycles.caustics_refractive = False
    render = scene.render
    render.film_transparent = True
    render.use_persistent_data = True
    render.use_border = render.use_crop_to_border = True
    render.resolution_percentage = 100
    render.use_compositing = render.use_sequencer = False
    if threads:
        render.threads_mode, render.threads = "FIXED", threads
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # from Blender 5.0
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth, settings.exr_codec = "32", "NONE"
    # AgX, Blender's default, would bend colours; the sRGB curve alone is applied by passes.py.
    scene.view_settings.view_transform = "Standard"

    world = bpy.data.worlds.new("farm")
    scene.world = world
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (1, 1, 1, 1)
    background.inputs["Strength"].default_value = AMBIENT

    camera = bpy.data.cameras.new("farm")
    camera.sensor_fit = "HORIZONTAL"
    camera.clip_start, camera.clip_end = 0.01, 100
    scene.camera = bpy.data.objects.new("farm", camera)
    scene.collection.objects.link(scene.camera)

    layer = bpy.context.view_layer
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
    layer.aovs.add().name = "albedo"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "CPU"
