# SPDX-License-Identifier: MPL-2.0
"""Lighting of the rasterised bust, one pixel at a time (numba), in linear RGB.

Diffuse light is wrapped around the terminator, most in red, which stands in for light scattered under the
skin; highlights are Blinn-Phong; ambient light comes from above more than from below and is dimmed by
the occlusion computed once on the template.
"""

import numba
import numpy as np

from .mesh import CLOTH, EYE, FRAME, HAIR, LASH, MOUTH, SKIN, TEETH, TONGUE
from .skin import HEIGHT, WIDTH

_WRAP = np.array([0.40, 0.22, 0.16])


@numba.njit(cache=True, fastmath=True)
def _hash(a, b):
    h = (a * 374761393 + b * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@numba.njit(cache=True, fastmath=True)
def _noise1(t):
    """Smooth one-dimensional noise in 0..1."""
    k = int(np.floor(t))
    f = t - k
    f = f * f * (3 - 2 * f)
    return _hash(k, 17) * (1 - f) + _hash(k + 1, 17) * f


@numba.njit(cache=True, fastmath=True)
def shade(triangle, weights, faces, materials, position, normal, template, occlusion, scalp, eye_side,
          texture, colours, wrinkles, lash, shine, neckline, opening, camera, lights, light_colours, ambient, image):
    """Colour `image` [H, W, 3] where `triangle` >= 0; other pixels are left as they are.

    position, normal: [V, 3] in the world; texture: see skin.py; colours: [5, 3] skin, iris, hair, cloth,
    frame; wrinkles: [7] how much each group of wrinkles is folded; neckline: [3] height, depth and half
    width of the collar (metres of the template); opening: 0 lips closed .. 1 open, lights the teeth; camera: [3]; lights: [L, 3] unit vectors
    towards the lights; light_colours: [L, 3]; ambient: [2, 3] from below, from above.
    """
    height, width = triangle.shape
    rgb = np.zeros(3)
    for y in range(height):
        for x in range(width):
            f = triangle[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            wb, wc = weights[y, x, 0], weights[y, x, 1]
            wa = 1.0 - wb - wc
            nx = wa * normal[a, 0] + wb * normal[b, 0] + wc * normal[c, 0]
            ny = wa * normal[a, 1] + wb * normal[b, 1] + wc * normal[c, 1]
            nz = wa * normal[a, 2] + wb * normal[b, 2] + wc * normal[c, 2]
            px = wa * position[a, 0] + wb * position[b, 0] + wc * position[c, 0]
            py = wa * position[a, 1] + wb * position[b, 1] + wc * position[c, 1]
            pz = wa * position[a, 2] + wb * position[b, 2] + wc * position[c, 2]
            tx = wa * template[a, 0] + wb * template[b, 0] + wc * template[c, 0]
            ty = wa * template[a, 1] + wb * template[b, 1] + wc * template[c, 1]
            tz = wa * template[a, 2] + wb * template[b, 2] + wc * template[c, 2]
            open_sky = wa * occlusion[a] + wb * occlusion[b] + wc * occlusion[c]
            vx, vy, vz = camera[0] - px, camera[1] - py, camera[2] - pz
            n = 1.0 / np.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx * n, vy * n, vz * n
            n = 1.0 / max(1e-9, np.sqrt(nx * nx + ny * ny + nz * nz))
            material = materials[f]
            if (nx * vx + ny * vy + nz * vz) < 0 and material != EYE:
                n = -n
            nx, ny, nz = nx * n, ny * n, nz * n
            gloss, power, wrap = 0.0, 12.0, 0.0
            rgb[0], rgb[1], rgb[2] = 0.5, 0.5, 0.5
            if material == SKIN and tz < 0.56:
                # A collar: a round or pointed neckline over the chest, higher on the neck's sides and back.
                edge = neckline[0] - neckline[1] * max(0.0, 1 - abs(tx) / neckline[2]) * (1.0 if ty < -0.02 else 0.3)
                if tz < edge:
                    material = CLOTH
                    open_sky *= 0.9 if tz < edge - 0.003 else 0.6
            if material == SKIN or material == LASH:
                u = min(max((tx + 0.1) / 0.2 * (WIDTH - 1), 0.0), WIDTH - 1.001)
                v = min(max((0.82 - tz) / 0.27 * (HEIGHT - 1), 0.0), HEIGHT - 1.001)
                iu, iv = int(u), int(v)
                fu, fv = u - iu, v - iv
                q0, q1, q2, q3 = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
                fold = 0.0
                for k in range(7):
                    if wrinkles[k] > 0.01:
                        fold += wrinkles[k] * (q0 * texture[iv, iu, 4 + k] + q1 * texture[iv, iu + 1, 4 + k]
                                               + q2 * texture[iv + 1, iu, 4 + k] + q3 * texture[iv + 1, iu + 1, 4 + k])
                fold = max(0.45, 1 + 0.6 * fold)
                front = min(max((-0.075 - ty) / 0.02, 0.0), 1.0)
                fold = 1 + front * (fold - 1)
                for k in range(3):
                    painted = (q0 * texture[iv, iu, k] + q1 * texture[iv, iu + 1, k]
                               + q2 * texture[iv + 1, iu, k] + q3 * texture[iv + 1, iu + 1, k])
                    rgb[k] = (front * painted + (1 - front) * colours[0, k]) * fold
                gloss = shine * 0.22 * (q0 * texture[iv, iu, 3] + q3 * texture[iv + 1, iu + 1, 3] + q1 * texture[iv, iu + 1, 3] + q2 * texture[iv + 1, iu, 3])
                power, wrap = 18.0, 1.0
                hairline = wa * scalp[a] + wb * scalp[b] + wc * scalp[c]
                if hairline > -0.010:
                    t = min(1.0, (hairline + 0.010) / 0.014)
                    t = t * t * (0.75 + 0.25 * _noise1(tx * 1400))
                    for k in range(3):
                        rgb[k] = rgb[k] * (1 - t) + t * colours[2, k] * 0.8
                if material == LASH:
                    lower = tz < 0.6955
                    if _hash(int((tx + 0.4 * tz) * 11000), 5) > (lash * 0.15 if lower else lash):
                        open_sky *= 0.85
                    else:
                        rgb[0], rgb[1], rgb[2] = 0.012, 0.009, 0.008
                    gloss = 0.0
            elif material == EYE:
                side = 1.0 if eye_side[a] == 1 else -1.0
                dx, dz = tx - side * 0.0308, tz - 0.6968
                r = np.sqrt(dx * dx + dz * dz)
                white = 0.62 - 0.16 * min(1.0, r / 0.014)
                rgb[0], rgb[1], rgb[2] = white * 1.02, white * 0.95, white * 0.93
                if r < 0.0066:
                    streak = 0.75 + 0.5 * _noise1(np.arctan2(dz, dx) * 9 + 40)
                    ring = 1.0 - 0.75 * min(1.0, max(0.0, (r - 0.0052) / 0.0012))
                    for k in range(3):
                        rgb[k] = colours[1, k] * streak * ring
                    if r < 0.0026:
                        rgb[0], rgb[1], rgb[2] = 0.004, 0.004, 0.004
                gloss, power = 0.5, 180.0
                # The upper lid and the lashes shade the top of the eye.
                open_sky = 0.80 - 0.35 * min(1.0, max(0.0, (dz - 0.002) / 0.006))
            elif material == HAIR:
                strand = _noise1(tx * 900 + ty * 350 + 3 * _noise1(tz * 60)) * 0.6 + _noise1(tx * 2600 - ty * 900) * 0.4
                for k in range(3):
                    rgb[k] = colours[2, k] * (0.45 + 1.1 * strand)
                gloss, power = 0.10 * (0.5 + strand), 9.0
                open_sky = 0.35 + 0.55 * min(1.0, max(0.0, (tz - 0.56) / 0.2))
            elif material == TEETH:
                rgb[0], rgb[1], rgb[2] = 0.72, 0.68, 0.60
                gap = abs(((tx * 125.0) % 1.0) - 0.5)
                if gap > 0.46:
                    for k in range(3):
                        rgb[k] *= 0.75
                # Little light falls through nearly closed lips; the helper's own normals are too rough to use.
                open_sky = 0.9 * min(1.0, max(0.2, (-0.098 - ty) / 0.02)) * opening
                nx, ny, nz = 0.3 * nx + 0.7 * vx, 0.3 * ny + 0.7 * vy, 0.3 * nz + 0.7 * vz
                gloss, power = 0.15, 60.0
            elif material == TONGUE:
                rgb[0], rgb[1], rgb[2] = 0.30, 0.10, 0.10
                open_sky = 0.6 * min(1.0, max(0.1, (-0.085 - ty) / 0.04))
                gloss, power = 0.15, 30.0
            elif material == MOUTH:
                deep = min(1.0, max(0.05, (-0.115 - ty) / 0.03))
                if tz > 0.67:
                    deep = 0.55
                rgb[0], rgb[1], rgb[2] = 0.30 * deep, 0.09 * deep, 0.085 * deep
                open_sky = 0.15 + 0.5 * deep
            elif material == CLOTH:
                weave = 0.92 + 0.16 * _noise1(tx * 700 + tz * 420)
                for k in range(3):
                    rgb[k] = colours[3, k] * weave
                wrap = 0.3
            else:
                for k in range(3):
                    rgb[k] = colours[4, k]
                gloss, power = 0.3, 40.0
            up = 0.5 + 0.5 * nz
            shadow = 0.35 + 0.65 * min(1.0, open_sky * 1.25)
            if material == MOUTH or material == TONGUE or material == TEETH:
                shadow = open_sky
            d0 = rgb[0] * open_sky * (ambient[0, 0] * (1 - up) + ambient[1, 0] * up)
            d1 = rgb[1] * open_sky * (ambient[0, 1] * (1 - up) + ambient[1, 1] * up)
            d2 = rgb[2] * open_sky * (ambient[0, 2] * (1 - up) + ambient[1, 2] * up)
            for l in range(lights.shape[0]):
                cosine = nx * lights[l, 0] + ny * lights[l, 1] + nz * lights[l, 2]
                hx, hy, hz = lights[l, 0] + vx, lights[l, 1] + vy, lights[l, 2] + vz
                n = 1.0 / max(1e-9, np.sqrt(hx * hx + hy * hy + hz * hz))
                spec = 0.0
                if gloss > 0 and cosine > -0.1:
                    spec = gloss * max(0.0, (nx * hx + ny * hy + nz * hz) * n) ** power * shadow
                w0, w1, w2 = wrap * _WRAP[0], wrap * _WRAP[1], wrap * _WRAP[2]
                d0 += light_colours[l, 0] * (rgb[0] * shadow * max(0.0, (cosine + w0) / (1 + w0)) + spec)
                d1 += light_colours[l, 1] * (rgb[1] * shadow * max(0.0, (cosine + w1) / (1 + w1)) + spec)
                d2 += light_colours[l, 2] * (rgb[2] * shadow * max(0.0, (cosine + w2) / (1 + w2)) + spec)
            image[y, x, 0] = d0
            image[y, x, 1] = d1
            image[y, x, 2] = d2


@numba.njit(cache=True, fastmath=True)
def finish(image, factor, exposure, out):
    """Average `factor` x `factor` samples, expose, and write display values 0..255 (gamma 2.2) to `out`."""
    height, width = out.shape[:2]
    scale = exposure / (factor * factor)
    for y in range(height):
        for x in range(width):
            for k in range(3):
                total = 0.0
                for j in range(factor):
                    for i in range(factor):
                        # Clip each sample softly, or highlights would flicker.
                        total += min(4.0, image[y * factor + j, x * factor + i, k])
                v = total * scale
                v = v if v < 0.7 else 0.7 + 0.3 * (1 - np.exp(-(v - 0.7) / 0.3))
                out[y, x, k] = min(255.0, 255.0 * max(0.0, v) ** (1 / 2.2) + 0.5)
