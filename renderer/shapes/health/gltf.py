"""glTF 2.0 and GLB: valid JSON of the right types, whole buffers, indices in range.

Blender's importer raises for a field of the wrong type, for an extension that is required and not
known to it, and for an accessor that reaches beyond its buffer; it recurses without end into nodes
that are their own children. Sizes and names: the glTF 2.0 specification, sections 3 and 5.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renderer.shapes.health import textures
from renderer.shapes.health.findings import Findings
from renderer.shapes.references import References, gltf_json

# What Blender 5.0's importer says it manages (extensions_managed of io_scene_gltf2).
EXTENSIONS = {
    "EXT_mesh_gpu_instancing",
    "EXT_texture_webp",
    "KHR_animation_pointer",
    "KHR_draco_mesh_compression",
    "KHR_lights_punctual",
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_unlit",
    "KHR_materials_variants",
    "KHR_materials_volume",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
}
DRACO = "KHR_draco_mesh_compression"
MOST_OBJECTS = 100_000
MOST_UNSEEN = 64  # bytes that a file may stand for with one: zeros, and what Draco has packed
DEEPEST = 900  # nodes within nodes: as many were seen to work; Python's recursion ends at 1000
LENGTHS = {"matrix": 16, "translation": 3, "rotation": 4, "scale": 3, "baseColorFactor": 4,
           "emissiveFactor": 3}  # fmt: skip
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
LINES, TRIANGLES, STRIP, FAN = 1, 4, 5, 6

INT, NUMBER, TEXT, LIST, OBJECT = int, (int, float), str, list, dict
# Types of the fields that Blender's importer insists on, by the kind of object they are in.
TEXTURE = {"index": INT, "texCoord": INT, "scale": NUMBER, "strength": NUMBER}
FIELDS: dict[str, dict[str, Any]] = {
    "scenes": {"nodes": LIST},
    "nodes": {"mesh": INT, "skin": INT, "camera": INT, "children": LIST, "matrix": LIST,
              "translation": LIST, "rotation": LIST, "scale": LIST, "weights": LIST},
    "meshes": {"primitives": LIST, "weights": LIST},
    "accessors": {"bufferView": INT, "byteOffset": INT, "componentType": INT, "count": INT,
                  "type": TEXT, "normalized": bool, "sparse": OBJECT},
    "bufferViews": {"buffer": INT, "byteOffset": INT, "byteLength": INT, "byteStride": INT},
    "buffers": {"byteLength": INT, "uri": TEXT},
    "images": {"uri": TEXT, "mimeType": TEXT, "bufferView": INT},
    "textures": {"source": INT, "sampler": INT},
    "samplers": {"magFilter": INT, "minFilter": INT, "wrapS": INT, "wrapT": INT},
    "materials": {"pbrMetallicRoughness": {
                      "baseColorFactor": LIST, "metallicFactor": NUMBER, "roughnessFactor": NUMBER,
                      "baseColorTexture": TEXTURE, "metallicRoughnessTexture": TEXTURE},
                  "normalTexture": TEXTURE, "occlusionTexture": TEXTURE, "emissiveTexture": TEXTURE,
                  "emissiveFactor": LIST, "alphaMode": TEXT, "alphaCutoff": NUMBER,
                  "doubleSided": bool},
    "cameras": {"type": TEXT, "perspective": OBJECT, "orthographic": OBJECT},
    "skins": {"inverseBindMatrices": INT, "skeleton": INT, "joints": LIST},
    "animations": {"channels": LIST, "samplers": LIST},
}  # fmt: skip
PRIMITIVE = {"attributes": OBJECT, "indices": INT, "material": INT, "mode": INT, "targets": LIST}


def read(path: Path, needs: References, findings: Findings) -> None:
    findings.instances = True
    try:
        _Document(path, needs, findings).read()
    except ValueError as error:
        findings.problem(str(error))


class _Document:
    def __init__(self, path: Path, needs: References, findings: Findings):
        self.path, self.needs, self.findings = path, needs, findings
        self.json = gltf_json(path)
        self.loaded: dict[int, NDArray[np.uint8]] = {}
        self.counted: dict[int, tuple[int, int, int]] = {}
        self.listed: dict[str, list[dict[str, Any]]] = {}

    def read(self) -> None:
        _check_version(self.json)
        unknown = [e for e in _of(self.json, "extensionsRequired", list, []) if e not in EXTENSIONS]
        if unknown:
            raise ValueError(
                f"requires {', '.join(map(str, unknown))}, which Blender does not know"
            )
        for kind, fields in FIELDS.items():
            for number, one in enumerate(self.all(kind)):
                _check_types(one, {"name": TEXT, **fields}, f"{kind}[{number}]")
        self.embedded = _binary_chunk(self.path)
        self._check_links()
        textures.check(self._embedded_pictures(), self.findings)
        objects = 0
        for node in self._nodes_with_a_mesh():
            vertices, faces, triangles = self._mesh(node["mesh"])
            times = self._instances(node)
            objects += times
            self.findings.vertices += times * vertices
            self.findings.faces += times * faces
            self.findings.triangles += times * triangles
        if objects > MOST_OBJECTS:
            raise ValueError(f"{objects} objects; at most {MOST_OBJECTS}")

    def _embedded_pictures(self) -> Iterator[tuple[str, bytes]]:
        """The pictures that lie in the file itself or in its buffers."""
        for number, image in enumerate(self.all("images")):
            where, uri = f"images[{number}]", image.get("uri")
            if isinstance(uri, str) and uri.startswith("data:"):
                try:
                    yield where, base64.b64decode(uri.partition(";base64,")[2])
                except binascii.Error as error:
                    raise ValueError(f"{where}: {error}") from None
            elif uri is None and "bufferView" in image:
                length = self.one("bufferViews", image["bufferView"], where).get("byteLength", 0)
                whole = self._values(image, np.dtype(np.uint8), 1, length, where)
                yield where, whole.tobytes()

    def all(self, kind: str) -> list[dict[str, Any]]:
        if kind not in self.listed:  # looked at once: there may be a million nodes
            listed = _of(self.json, kind, list, [])
            if not all(isinstance(one, dict) for one in listed):
                raise ValueError(f"{kind} holds something that is no object")
            self.listed[kind] = listed
        return self.listed[kind]

    def one(self, kind: str, number: Any, wanted_by: str) -> dict[str, Any]:
        listed = self.all(kind)
        if not isinstance(number, int) or not 0 <= number < len(listed):
            raise ValueError(f"{wanted_by} names {kind}[{number}], there are {len(listed)}")
        return listed[number]

    def _instances(self, node: dict[str, Any]) -> int:
        """How often a node's mesh is there: once, or as EXT_mesh_gpu_instancing says."""
        instancing = node.get("extensions", {}).get("EXT_mesh_gpu_instancing", {})
        accessors = _of(instancing, "attributes", dict, {}).values()
        return max((self._count(each, "EXT_mesh_gpu_instancing") for each in accessors), default=1)

    def _nodes_with_a_mesh(self) -> list[dict[str, Any]]:
        """Raises ValueError where nodes are no forest."""
        nodes = self.all("nodes")
        if "scene" in self.json:
            self.one("scenes", self.json["scene"], "scene")
        for number, scene in enumerate(self.all("scenes")):
            for root in scene.get("nodes", []):
                self.one("nodes", root, f"scenes[{number}]")
        depth = [0] * len(nodes)
        parents = [0] * len(nodes)
        for number, node in enumerate(nodes):
            for child in node.get("children", []):
                self.one("nodes", child, f"nodes[{number}]")
                parents[child] += 1
        if any(count > 1 for count in parents):
            raise ValueError(f"nodes[{parents.index(max(parents))}] has more than one parent")
        front = [number for number, count in enumerate(parents) if not count]
        reached = 0
        while front:
            number = front.pop()
            reached += 1
            for child in nodes[number].get("children", []):
                depth[child] = depth[number] + 1
                front.append(child)
        if reached < len(nodes):
            raise ValueError("a node is its own descendant")
        if nodes and max(depth) > DEEPEST:
            raise ValueError(f"nodes lie {max(depth)} deep in one another")
        return [node for node in nodes if "mesh" in node]

    def _check_links(self) -> None:
        """Raises ValueError where something names what is not there, as Blender then would."""
        for number, material in enumerate(self.all("materials")):
            where = f"materials[{number}]"
            for of in (material, material.get("pbrMetallicRoughness", {})):
                for name, value in of.items():
                    if name.endswith("Texture"):
                        self.one("textures", value.get("index"), f"{where}.{name}")
        for number, texture in enumerate(self.all("textures")):
            if "source" in texture:
                self.one("images", texture["source"], f"textures[{number}]")
        for number, skin in enumerate(self.all("skins")):
            if "inverseBindMatrices" in skin:
                self.array(skin["inverseBindMatrices"])
            for joint in skin.get("joints", []):
                self.one("nodes", joint, f"skins[{number}]")
        for animation in self.all("animations"):
            for sampler in animation.get("samplers", []) if animation.get("channels") else ():
                for end in ("input", "output"):
                    self.array(_of(sampler, end, int, -1))

    def _mesh(self, number: int) -> tuple[int, int, int]:
        """Vertices, faces and triangles of a mesh; checked once."""
        if number not in self.counted:
            mesh = self.one("meshes", number, "a node")
            parts = Findings()
            for n, primitive in enumerate(_of(mesh, "primitives", list, [])):
                where = f"meshes[{number}].primitives[{n}]"
                _check_types(primitive, PRIMITIVE, where)
                self._primitive(primitive, parts, where)
            self.findings.take(parts)
            self.counted[number] = (parts.vertices, parts.faces, parts.triangles)
        return self.counted[number]

    def _primitive(self, primitive: dict[str, Any], parts: Findings, where: str) -> None:
        attributes = _of(primitive, "attributes", dict, {})
        if "POSITION" not in attributes:
            parts.warn("a primitive without POSITION is left out")
            return
        vertices = self._count(attributes["POSITION"], where)
        for values in (attributes, *primitive.get("targets", [])):
            for name, accessor in _of({"values": values}, "values", dict, {}).items():
                count = self._count(accessor, where)
                if count != vertices:
                    raise ValueError(f"{where} has {vertices} vertices and {count} of {name}")
                self.array(accessor)
        if "material" in primitive:
            self.one("materials", primitive["material"], where)
        index = attributes["POSITION"] if "indices" not in primitive else primitive["indices"]
        corners = self._count(index, where)
        mode = primitive.get("mode", TRIANGLES)
        if not 0 <= mode <= FAN or (mode == LINES and corners % 2) or (mode == FAN and corners < 3):
            raise ValueError(f"{where}: {corners} corners in mode {mode}")
        if mode not in (TRIANGLES, STRIP, FAN):
            parts.warn("points or lines are left out")
            return
        if mode == TRIANGLES and corners % 3:
            parts.warn("a last triangle has fewer than 3 corners")
        if DRACO not in _of(primitive, "extensions", dict, {}):  # else its decoder alone knows
            self._corners(primitive, parts, where)
        parts.vertices += vertices
        faces = corners // 3 if mode == TRIANGLES else max(0, corners - 2)
        parts.faces += faces
        parts.triangles += faces

    def _count(self, accessor: Any, where: str) -> int:
        count = self.one("accessors", accessor, where).get("count")
        if not isinstance(count, int) or count < 0:
            raise ValueError(f"accessors[{accessor}] without a count")
        return count

    def _corners(self, primitive: dict[str, Any], parts: Findings, where: str) -> None:
        """Coordinates are numbers, and indices lead to them."""
        points = self.array(primitive["attributes"]["POSITION"])
        if points is None or points.shape[1] != 3:
            raise ValueError(f"{where}: POSITION is no VEC3 with data")
        used = (
            self.array(primitive["indices"]) if "indices" in primitive else np.arange(len(points))
        )
        if used is None:
            raise ValueError(f"{where}: indices without data")
        part = Findings()  # of its own, for its indices count from its own first vertex
        bad = part.add_points(points)
        part.check_indices(used.ravel().astype(np.int64), bad)
        parts.take(part)

    def array(self, number: int) -> NDArray[Any] | None:
        """Values [count, width] of an accessor; None: it has no data of its own (Draco).

        Raises ValueError where it reaches beyond its buffer, before anything is allocated.
        """
        where = f"accessors[{number}]"
        accessor = self.one("accessors", number, where)
        try:
            kind = np.dtype(COMPONENTS[accessor["componentType"]])
            width, count = WIDTHS[accessor["type"]], accessor["count"]
        except KeyError as error:
            raise ValueError(f"{where}: no or unknown {error}") from None
        values = None
        if "bufferView" in accessor:
            values = self._values(accessor, kind, width, count, where)
        sparse = accessor.get("sparse")
        if sparse is not None:
            values = self._sparse(values, sparse, kind, width, count, where)
        if values is None:
            self._refuse_absurd(count * width * kind.itemsize, where)
        return values

    def _refuse_absurd(self, size: int, where: str) -> None:
        """Zeros need not be in the file, and Blender makes them all the same."""
        if not 0 <= size <= MOST_UNSEEN * max(1 << 20, os.stat(self.path).st_size):
            raise ValueError(f"{where}: {size} bytes of values without data")

    def _sparse(
        self, values: Any, sparse: dict[str, Any], kind: np.dtype[Any], width: int, count: int,
        where: str,
    ) -> NDArray[Any]:  # fmt: skip
        some = _of(sparse, "count", int, 0)
        indices, replaced = _of(sparse, "indices", dict, {}), _of(sparse, "values", dict, {})
        unsigned = np.dtype(COMPONENTS.get(indices.get("componentType", 0), "<u4"))
        at = self._values(indices, unsigned, 1, some, f"{where}.sparse.indices").ravel()
        new = self._values(replaced, kind, width, some, f"{where}.sparse.values")
        if len(at) and int(at.max()) >= count:
            raise ValueError(f"{where}.sparse names value {int(at.max())} of {count}")
        if values is None:
            self._refuse_absurd(count * width * kind.itemsize, where)
            values = np.zeros((count, width), kind)
        filled: NDArray[Any] = values.copy()
        filled[at] = new
        return filled

    def _values(
        self, of: dict[str, Any], kind: np.dtype[Any], width: int, count: int, where: str
    ) -> NDArray[Any]:
        view = self.one("bufferViews", of.get("bufferView"), where)
        buffer = self._buffer(view.get("buffer"), where)
        start, length = view.get("byteOffset", 0), view.get("byteLength", 0)
        inside = of.get("byteOffset", 0)
        size = width * kind.itemsize
        stride = view.get("byteStride") or size
        needed = inside + (stride * (count - 1) + size if count else 0)
        if min(start, length, inside, count) < 0 or stride < size:
            raise ValueError(f"{where}: a negative offset or count, or a stride below {size}")
        if needed > length or start + needed > len(buffer):
            there = max(0, min(length, len(buffer) - start))
            raise ValueError(f"{where} needs {needed} bytes of its buffer view, there are {there}")
        if not count:
            return np.empty((0, width), kind)
        data = buffer[start + inside : start + needed]
        rows = np.lib.stride_tricks.as_strided(data, (count, size), (stride, 1))
        return np.ascontiguousarray(rows).view(kind).reshape(count, width)

    def _buffer(self, number: Any, where: str) -> NDArray[np.uint8]:
        buffer = self.one("buffers", number, where)
        if number not in self.loaded:
            self.loaded[number] = np.frombuffer(self._bytes(buffer, number), np.uint8)
            there, says = len(self.loaded[number]), buffer.get("byteLength", 0)
            if there < says:
                self.findings.warn(f"buffers[{number}] has {there} of {says} bytes")
        return self.loaded[number]

    def _bytes(self, buffer: dict[str, Any], number: int) -> bytes:
        uri = buffer.get("uri")
        if uri is None:
            if number != 0 or self.embedded is None:
                raise ValueError(f"buffers[{number}] has no data")
            return self.embedded
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(";base64,")[2])
            except binascii.Error as error:
                raise ValueError(f"buffers[{number}]: {error}") from None
        found = self.needs.named(uri)
        if found is None:
            lies = "lies outside the model's folder" if uri in self.needs.outside else "is missing"
            raise ValueError(f"{uri} {lies}: it holds the geometry")
        return found.read_bytes()


def _check_version(json: dict[str, Any]) -> None:
    asset = json.get("asset")
    version = asset.get("version") if isinstance(asset, dict) else None
    if version != "2.0":
        raise ValueError(f"glTF version {version!r}; Blender reads 2.0")


def _of(one: Any, name: str, type: Any, default: Any) -> Any:
    value = one.get(name, default) if isinstance(one, dict) else default
    if not isinstance(value, type):
        raise ValueError(f"{name} is no {type.__name__}")
    return value


def _check_types(one: Any, fields: dict[str, Any], where: str) -> None:
    """Raises ValueError, naming the field, where a value is not of its type."""
    if not isinstance(one, dict):
        raise ValueError(f"{where} is no object")
    for name, value in one.items():
        if name == "extensions":
            wrong = not isinstance(value, dict) or any(
                not isinstance(extension, dict) for extension in value.values()
            )
        elif isinstance(fields.get(name), dict):
            _check_types(value, fields[name], f"{where}.{name}")
            continue
        else:
            if name in LENGTHS and isinstance(value, list) and len(value) != LENGTHS[name]:
                raise ValueError(f"{where}.{name} has {len(value)} numbers, not {LENGTHS[name]}")
            type = fields.get(name, object)
            # In Python True is an integer; in JSON it is none.
            wrong = not isinstance(value, type) or (
                isinstance(value, bool) and type in (INT, NUMBER)
            )
        if wrong:
            raise ValueError(f"{where}.{name} has the wrong type")


def _binary_chunk(path: Path) -> bytes | None:
    """The second chunk of a GLB; None in a glTF. Raises ValueError where lengths do not agree."""
    with open(path, "rb") as file:
        head = file.read(20)
        if head[:4] != b"glTF":
            return None
        size = os.fstat(file.fileno()).st_size
        version, length, text = (int.from_bytes(head[k : k + 4], "little") for k in (4, 8, 12))
        if version != 2:
            raise ValueError(f"GLB version {version}; Blender reads 2")
        if length != size:
            raise ValueError(f"says {length} bytes, has {size}")
        file.seek(20 + text)
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[4:] != b"BIN\0":
            return None
        says = int.from_bytes(chunk[:4], "little")
        data = file.read(min(says, size))
        if len(data) < says:
            raise ValueError(f"cut off: {len(data)} of {says} bytes of its buffer")
        return data
