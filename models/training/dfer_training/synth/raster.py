# SPDX-License-Identifier: MPL-2.0
"""A small z-buffer rasteriser on the CPU (numba): which triangle covers which pixel, and where inside it."""

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True)
def normals(positions, faces, out):
    """Area-weighted vertex normals of `positions` [V, 3] into `out` [V, 3] (unit length)."""
    out[:] = 0
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = positions[b, 0] - positions[a, 0], positions[b, 1] - positions[a, 1], positions[b, 2] - positions[a, 2]
        vx, vy, vz = positions[c, 0] - positions[a, 0], positions[c, 1] - positions[a, 1], positions[c, 2] - positions[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        n = 1.0 / max(1e-12, np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2))
        out[v, 0] *= n
        out[v, 1] *= n
        out[v, 2] *= n


@numba.njit(cache=True, fastmath=True)
def rasterise(points, faces, two_sided, triangle, weights, depth):
    """Fill the buffers for projected `points` [V, 3] (x, y in pixels, distance from the camera).

    Pixel centres are at +0.5. `triangle` [H, W] gets the index of the nearest triangle (-1: none),
    `weights` [H, W, 2] the perspective-correct barycentric weights of its second and third corner,
    `depth` [H, W] the distance. Triangles that face away are skipped unless `two_sided` [F] says otherwise.
    """
    height, width = triangle.shape
    triangle[:] = -1
    depth[:] = 1e9
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        if za <= 0.01 or zb <= 0.01 or zc <= 0.01:
            continue
        xa, ya, xb, yb, xc, yc = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area > -1e-9 and not two_sided[f]:
            continue
        if abs(area) < 1e-9:
            continue
        x0 = max(0, int(np.ceil(min(xa, xb, xc) - 0.5)))
        x1 = min(width - 1, int(np.floor(max(xa, xb, xc) - 0.5)))
        y0 = max(0, int(np.ceil(min(ya, yb, yc) - 0.5)))
        y1 = min(height - 1, int(np.floor(max(ya, yb, yc) - 0.5)))
        if x0 > x1 or y0 > y1:
            continue
        inverse = 1.0 / area
        ia, ib, ic = 1.0 / za, 1.0 / zb, 1.0 / zc
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                px = x + 0.5
                wb = ((px - xa) * (yc - ya) - (xc - xa) * (py - ya)) * inverse
                wc = ((xb - xa) * (py - ya) - (px - xa) * (yb - ya)) * inverse
                wa = 1.0 - wb - wc
                if wa < 0 or wb < 0 or wc < 0:
                    continue
                z = 1.0 / (wa * ia + wb * ib + wc * ic)
                if z < depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = f
                    weights[y, x, 0] = wb * ib * z
                    weights[y, x, 1] = wc * ic * z
