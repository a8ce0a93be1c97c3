"""The baseline: a Blender script as people write it. One process, one model, one write per view.

python plain_script.py MODEL.obj OUT VIEWS THREADS
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import bpy
from mathutils import Vector

model, out, views, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.samples = 16
scene.cycles.use_denoising = False
scene.cycles.use_adaptive_sampling = False
scene.render.film_transparent = True
scene.render.resolution_x = scene.render.resolution_y = 128
scene.render.threads_mode, scene.render.threads = "FIXED", threads
settings = scene.render.image_settings
if hasattr(settings, "media_type"):
    settings.media_type = "MULTI_LAYER_IMAGE"
settings.file_format = "OPEN_EXR_MULTILAYER"
layer = bpy.context.view_layer
layer.use_pass_z = layer.use_pass_normal = True
layer.use_pass_diffuse_color = layer.use_pass_object_index = True
scene.world = bpy.data.worlds.new("world")
scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.35

bpy.ops.wm.obj_import(filepath=model)
meshes = [o for o in scene.objects if o.type == "MESH"]
corners = [o.matrix_world @ Vector(c) for o in meshes for c in o.bound_box]
low = Vector(min(c[i] for c in corners) for i in range(3))
high = Vector(max(c[i] for c in corners) for i in range(3))
root = bpy.data.objects.new("root", None)
scene.collection.objects.link(root)
for mesh in meshes:
    mesh.parent = root
scale = 1 / (high - low).length
root.scale = (scale,) * 3
root.location = -(low + high) / 2 * scale

camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
camera.data.lens, camera.data.sensor_width = 60, 32
scene.collection.objects.link(camera)
scene.camera = camera
random.seed(0)
for view in range(views):
    for light in [o for o in scene.objects if o.type == "LIGHT"]:
        bpy.data.objects.remove(light)
    for _ in range(random.randint(2, 6)):
        light = bpy.data.objects.new("light", bpy.data.lights.new("light", "POINT"))
        light.data.energy = random.uniform(20, 80)
        light.location = [random.uniform(-2, 2) for _ in range(3)]
        scene.collection.objects.link(light)
    azimuth, elevation = random.uniform(0, 2 * math.pi), math.radians(random.uniform(-20, 40))
    camera.location = (
        2 * math.cos(elevation) * math.cos(azimuth),
        2 * math.cos(elevation) * math.sin(azimuth),
        2 * math.sin(elevation),
    )
    camera.rotation_euler = (-camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.render.filepath = str(out / f"{Path(model).stem}-{view:02d}.exr")
    bpy.ops.render.render(write_still=True)
