// SPDX-License-Identifier: MPL-2.0

use crate::core::types::{Landmarks, Point, Rect};

/// Maps positions in an output picture to positions in its source:
/// x = xx·u + xy·v + tx, y = yx·u + yy·v + ty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    pub xx: f32,
    pub xy: f32,
    pub yx: f32,
    pub yy: f32,
    pub tx: f32,
    pub ty: f32,
}

impl Affine {
    pub const fn identity() -> Self {
        Self { xx: 1.0, xy: 0.0, yx: 0.0, yy: 1.0, tx: 0.0, ty: 0.0 }
    }

    /// A picture of `width` x `height` pixels onto `rect` of the source, each axis by itself.
    /// Not finite when `width` or `height` is 0.
    pub fn scale_translate(rect: &Rect, width: usize, height: usize) -> Self {
        Self {
            xx: rect.w / width as f32,
            yy: rect.h / height as f32,
            tx: rect.x,
            ty: rect.y,
            ..Self::identity_without_scale()
        }
    }

    const fn identity_without_scale() -> Self {
        Self { xx: 0.0, xy: 0.0, yx: 0.0, yy: 0.0, tx: 0.0, ty: 0.0 }
    }

    /// The same scale on both axes, then a shift.
    pub const fn uniform(scale: f32, tx: f32, ty: f32) -> Self {
        Self { xx: scale, xy: 0.0, yx: 0.0, yy: scale, tx, ty }
    }

    /// The similarity (scale, rotation, shift; no reflection) that brings `from` closest to `to` in
    /// the least-squares sense (Umeyama 1991; in the plane its closed form is one complex division).
    /// `None` when the lists differ in length, hold fewer than two distinct points, or anything is
    /// not finite.
    pub fn from_points(from: &[Point], to: &[Point]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let mean = |points: &[Point]| {
            let n = points.len() as f64;
            let x = points.iter().map(|p| f64::from(p.x)).sum::<f64>() / n;
            let y = points.iter().map(|p| f64::from(p.y)).sum::<f64>() / n;
            (x, y)
        };
        let ((fx, fy), (gx, gy)) = (mean(from), mean(to));
        let (mut same, mut turned, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (f64::from(p.x) - fx, f64::from(p.y) - fy);
            let (qx, qy) = (f64::from(q.x) - gx, f64::from(q.y) - gy);
            same += px * qx + py * qy;
            turned += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (a, b) = (same / spread, turned / spread);
        let size = fx.abs().max(fy.abs()).max(1e-6);
        let degenerate = spread <= (size * 1e-6).powi(2) || a.hypot(b) < 1e-9;
        let map = Self {
            xx: a as f32,
            xy: -b as f32,
            yx: b as f32,
            yy: a as f32,
            tx: (gx - a * fx + b * fy) as f32,
            ty: (gy - b * fx - a * fy) as f32,
        };
        (!degenerate && map.is_finite()).then_some(map)
    }

    pub fn is_finite(&self) -> bool {
        [self.xx, self.xy, self.yx, self.yy, self.tx, self.ty].iter().all(|v| v.is_finite())
    }

    pub fn apply(&self, p: Point) -> Point {
        Point::new(self.xx * p.x + self.xy * p.y + self.tx, self.yx * p.x + self.yy * p.y + self.ty)
    }

    pub fn apply_all(&self, points: &Landmarks) -> Landmarks {
        points.map(|p| self.apply(p))
    }

    /// The upright box with the mapped centre whose sides are as long as the mapped sides.
    pub fn apply_rect(&self, rect: &Rect) -> Rect {
        let (w, h) = self.scale();
        Rect::centered(self.apply(rect.center()), rect.w * w, rect.h * h)
    }

    /// Source pixels per output pixel, along u and along v.
    pub fn scale(&self) -> (f32, f32) {
        (self.xx.hypot(self.yx), self.xy.hypot(self.yy))
    }

    /// From the source back to the output. Not finite when the map cannot be inverted.
    pub fn inverse(&self) -> Self {
        let [xx, xy, yx, yy, tx, ty] =
            [self.xx, self.xy, self.yx, self.yy, self.tx, self.ty].map(f64::from);
        let det = xx * yy - xy * yx;
        Self {
            xx: (yy / det) as f32,
            xy: (-xy / det) as f32,
            yx: (-yx / det) as f32,
            yy: (xx / det) as f32,
            tx: ((xy * ty - yy * tx) / det) as f32,
            ty: ((yx * tx - xx * ty) / det) as f32,
        }
    }

    /// First this map, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        Self {
            xx: next.xx * self.xx + next.xy * self.yx,
            xy: next.xx * self.xy + next.xy * self.yy,
            yx: next.yx * self.xx + next.yy * self.yx,
            yy: next.yx * self.xy + next.yy * self.yy,
            tx: next.xx * self.tx + next.xy * self.ty + next.tx,
            ty: next.yx * self.tx + next.yy * self.ty + next.ty,
        }
    }
}
