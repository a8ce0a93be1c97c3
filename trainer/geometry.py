"""Rotations as quaternions, and the one frame map between our cameras and DPC's clouds.

q = (w, x, y, z), Hamilton's product, active: v' = q v conj(q).  q and -q are one rotation.
A cloud's frame is the shape's own: y up, as in our datasets.  Turned by a view's quaternion, its
columns are (depth, up, right): the camera looks along +depth, from DISTANCE before the origin.
... any leading dimensions.

Source: Insafutdinov and Dosovitskiy 2018 for the conventions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DISTANCE = 2.0
"""From every camera to the origin, in diagonals of the shape."""
Z_UP_TO_CLOUD = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""Takes Blender's (x, y, z), z up, to the cloud's (x, z, -y), y up: the world of our datasets."""


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a b [..., 4]: first turned by b, then by a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def conjugate(q: Tensor) -> Tensor:
    """The way back [..., 4], for unit q."""
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def normalize(q: Tensor) -> Tensor:
    """q / |q| [..., 4]."""
    return torch.nn.functional.normalize(q, dim=-1, eps=1e-12)


def about(axis: tuple[float, float, float], degrees: float) -> Tensor:
    """[4] the rotation by so many degrees about an axis of any length; float64."""
    unit = torch.tensor(axis, dtype=torch.float64)
    unit = unit / unit.norm()
    half = math.radians(degrees) / 2
    return torch.cat([torch.tensor([math.cos(half)], dtype=torch.float64), math.sin(half) * unit])


def matrix_from_quaternion(q: Tensor) -> Tensor:
    """[..., 3, 3] of q [..., 4], which need not have unit length."""
    w, x, y, z = normalize(q).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def quaternion_from_matrix(matrix: Tensor) -> Tensor:
    """[..., 4] with w >= 0, of rotations [..., 3, 3]; good to rounding at every angle.

    Each of the four components can be had from the others by a division; the largest one is taken
    as the divisor (Shepperd 1978), where w alone fails near 180 degrees.
    """
    m = matrix
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    squares = 1 + torch.stack([xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy], dim=-1)
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    products = [  # 4 q_i q_j; row i is the quaternion times 4 q_i
        [squares[..., 0], wx, wy, wz],
        [wx, squares[..., 1], xy, xz],
        [wy, xy, squares[..., 2], yz],
        [wz, xz, yz, squares[..., 3]],
    ]
    table = torch.stack([torch.stack(row, dim=-1) for row in products], dim=-2)
    largest = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    q = normalize(table.gather(-2, largest).squeeze(-2))
    return torch.where(q[..., :1] < 0, -q, q)


def rotate(q: Tensor, points: Tensor) -> Tensor:
    """Points [..., N, 3] turned by q [..., 4] of any length; never in less than float32."""
    with torch.autocast(points.device.type, enabled=False):
        return points @ matrix_from_quaternion(q).transpose(-1, -2)


def angle_deg(a: Tensor, b: Tensor) -> Tensor:
    """[...] degrees in [0, 180] between rotations a and b [..., 4]; neither sign nor length counts.

    By the arc tangent, which is exact near 0 too, where an arc cosine loses half of the digits.
    """
    between = multiply(conjugate(normalize(a)), normalize(b))
    return torch.rad2deg(2 * torch.atan2(between[..., 1:].norm(dim=-1), between[..., 0].abs()))


def average(quaternions: Tensor) -> Tensor:
    """[4] the rotation nearest to all [N, 4], with w >= 0; signs do not count.

    The eigenvector of the largest eigenvalue of sum q q^T (Markley et al. 2007).
    """
    q = normalize(quaternions)
    _, vectors = torch.linalg.eigh(q.mT @ q)
    best: Tensor = vectors[:, -1]
    return -best if best[0] < 0 else best


def cloud_from_z_up(vectors: Tensor) -> Tensor:
    """[..., 3] in the cloud's frame, of vectors with z up: (x, y, z) -> (x, z, -y)."""
    return vectors @ vectors.new_tensor(Z_UP_TO_CLOUD).T


def quaternion_from_campos(position: Tensor) -> Tensor:
    """[..., 4] of cameras at [..., 3], z up, that look at the origin, upright.

    Yaw about y, then pitch about z.  Undefined straight above the origin and below it.
    Source: Insafutdinov and Dosovitskiy 2018, their code.
    """
    x, y, z = normalize(position).unbind(-1)
    yaw = torch.acos((x / torch.hypot(x, y)).clamp(-1, 1))
    yaw = torch.where(y > 0, 2 * math.pi - yaw, yaw) + math.pi
    pitch = torch.asin(z.clamp(-1, 1))
    zero = torch.zeros_like(yaw)
    about_y = torch.stack([torch.cos(yaw / 2), zero, torch.sin(yaw / 2), zero], dim=-1)
    about_z = torch.stack([torch.cos(pitch / 2), zero, zero, torch.sin(pitch / 2)], dim=-1)
    return multiply(about_z, about_y)


def quaternion_from_camera(world_to_camera: Tensor) -> Tensor:
    """[..., 4] with w >= 0, of our OpenCV cameras [..., 4, 4] (or [..., 3, 3]).

    The rows of an OpenCV camera are (right, down, forward); DPC wants (depth, up, right).
    Only the direction counts: DPC's cameras all stand DISTANCE away.
    """
    right, down, forward = world_to_camera[..., :3, :3].unbind(-2)
    return quaternion_from_matrix(torch.stack([forward, -down, right], dim=-2))


def camera_from_quaternion(q: Tensor) -> Tensor:
    """[..., 4, 4] world to camera, OpenCV's, of DPC's cameras [..., 4]: undoes the one above."""
    depth, up, right = matrix_from_quaternion(q).unbind(-2)
    matrix = torch.zeros(*q.shape[:-1], 4, 4, dtype=q.dtype, device=q.device)
    matrix[..., :3, :3] = torch.stack([right, -up, depth], dim=-2)
    matrix[..., 2, 3] = DISTANCE
    matrix[..., 3, 3] = 1
    return matrix
