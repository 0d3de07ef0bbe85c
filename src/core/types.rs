// SPDX-License-Identifier: MPL-2.0

//! Geometry and time.

use serde::{Deserialize, Serialize};

/// Nanoseconds on the stream's time line.
pub type Ns = u64;

/// One second in [`Ns`].
pub const SECOND: Ns = 1_000_000_000;

/// Number of the grid slot of length `interval` that `t` falls into. The grid is absolute, so the
/// same moments are looked at whatever the frame rate. A quarter slot of tolerance, 1/60 s at most,
/// keeps frames whose time was rounded down in the slot they belong to; with more, a long slot would
/// begin a frame earlier at some rates than at others.
pub fn slot(t: Ns, interval: Ns) -> u64 {
    t.saturating_add(early(interval)) / interval.max(1)
}

/// The first time of that [`slot`].
pub fn slot_start(slot: u64, interval: Ns) -> Ns {
    slot.saturating_mul(interval).saturating_sub(early(interval))
}

/// So much before its slot a frame may come.
fn early(interval: Ns) -> Ns {
    (interval / 4).min(SECOND / 60)
}

/// Pixels, fractions allowed; x to the right, y down. The centre of the first pixel is (0.5, 0.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

/// Eye on the picture's left, eye on its right, nose tip, mouth corner left, mouth corner right.
pub type Landmarks = [Point; 5];

/// An axis-aligned box in pixels; may lie partly or wholly outside the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl Point {
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }
}

impl Rect {
    pub const fn new(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self { x, y, w, h }
    }

    /// The box of that centre and size.
    pub fn centered(center: Point, w: f32, h: f32) -> Self {
        Self::new(center.x - w / 2.0, center.y - h / 2.0, w, h)
    }

    pub fn center(&self) -> Point {
        Point::new(self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Zero for boxes without a positive extent.
    pub fn area(&self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// Finite, with a positive width and height, and no coordinate beyond ±2^20 pixels.
    pub fn is_sane(&self) -> bool {
        const LIMIT: f32 = 1_048_576.0;
        let all = [self.x, self.y, self.w, self.h];
        all.iter().all(|v| v.is_finite() && v.abs() <= LIMIT) && self.w > 0.0 && self.h > 0.0
    }

    /// The part inside a picture of `width` x `height`; `None` where nothing is.
    pub fn clipped(&self, width: f32, height: f32) -> Option<Self> {
        let (x0, y0) = (self.x.max(0.0), self.y.max(0.0));
        let (x1, y1) = ((self.x + self.w).min(width), (self.y + self.h).min(height));
        (x1 > x0 && y1 > y0).then(|| Self::new(x0, y0, x1 - x0, y1 - y0))
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        if w <= 0.0 || h <= 0.0 {
            return 0.0;
        }
        let both = w * h;
        both / (self.area() + other.area() - both)
    }

    /// Moved by (dx, dy).
    pub fn moved(&self, dx: f32, dy: f32) -> Self {
        Self::new(self.x + dx, self.y + dy, self.w, self.h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_known_boxes() {
        let a = Rect::new(0.0, 0.0, 2.0, 2.0);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&a.moved(2.0, 0.0)), 0.0);
        assert!((a.iou(&a.moved(1.0, 0.0)) - 1.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn sanity_refuses_what_cannot_be_a_face() {
        assert!(Rect::new(-5.0, -5.0, 10.0, 10.0).is_sane());
        assert!(!Rect::new(0.0, 0.0, 0.0, 10.0).is_sane());
        assert!(!Rect::new(f32::NAN, 0.0, 1.0, 1.0).is_sane());
        assert!(!Rect::new(0.0, 0.0, f32::INFINITY, 1.0).is_sane());
    }

    #[test]
    fn clipping_keeps_the_visible_part() {
        let inside = Rect::new(-1.0, 2.0, 4.0, 4.0).clipped(10.0, 4.0);
        assert_eq!(inside, Some(Rect::new(0.0, 2.0, 3.0, 2.0)));
        assert_eq!(Rect::new(20.0, 0.0, 4.0, 4.0).clipped(10.0, 4.0), None);
    }
}
