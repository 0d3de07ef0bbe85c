// SPDX-License-Identifier: MPL-2.0

//! Where one shot ends and another begins.

use super::pixels::FrameView;

/// Cells of the picture that frames are compared on.
const COLUMNS: usize = 32;
const ROWS: usize = 18;
/// Pixels looked at along each side of a cell.
const POINTS: usize = 4;
/// Cells by which the camera may have moved between two frames.
const REACH: (i32, i32) = (2, 1);
/// Standard deviation of the cells (luma, 0 to 255) below which a picture shows nothing.
const FLAT: f32 = 4.0;
/// Correlation below which two pictures may be of different shots, and below which they are. Footage
/// of faces keeps above 0.85 within a shot, even at every fourth frame; other scenes reach 0.5.
const MAYBE: f32 = 0.65;
const SURELY: f32 = 0.45;
/// Difference of the histograms (0 to 1) that makes a cut of what may be one.
const HISTOGRAM: f32 = 0.25;
const BINS: usize = 16;

/// Finds hard cuts. The luma of a coarse grid is compared with that of the frame before, by
/// correlation, which neither gain nor offset of the light changes, at the best of a few shifts,
/// so that a moving camera is not a cut; pictures that neither correlate well nor share their
/// distribution of luma are. Flat pictures (black, fade, flash) are skipped: what comes
/// after them is compared with what was before them.
#[derive(Debug, Clone, Default)]
pub struct SceneCut {
    before: Option<Grid>,
}

/// Luma of the cells, mean taken away, divided by the standard deviation.
#[derive(Debug, Clone)]
struct Grid(Vec<f32>);

impl SceneCut {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a new shot begins with this frame. The first frame begins none.
    pub fn is_cut(&mut self, frame: &FrameView<'_>) -> bool {
        let Some(now) = Grid::of(frame) else { return false };
        let cut = self.before.as_ref().is_some_and(|before| {
            let correlation = before.best_correlation(&now);
            correlation < SURELY
                || (correlation < MAYBE && before.histogram_difference(&now) > HISTOGRAM)
        });
        self.before = Some(now);
        cut
    }

    /// The next frame is compared with nothing.
    pub fn reset(&mut self) {
        self.before = None;
    }
}

impl Grid {
    /// `None` for a flat picture.
    fn of(frame: &FrameView<'_>) -> Option<Self> {
        let points = frame.luma_grid(COLUMNS * POINTS, ROWS * POINTS);
        let mut cells = vec![0.0f32; COLUMNS * ROWS];
        for (y, row) in points.chunks_exact(COLUMNS * POINTS).enumerate() {
            let line = &mut cells[y / POINTS * COLUMNS..][..COLUMNS];
            for (cell, part) in line.iter_mut().zip(row.chunks_exact(POINTS)) {
                *cell += part.iter().sum::<f32>() / (POINTS * POINTS) as f32;
            }
        }
        let n = cells.len() as f32;
        let mean = cells.iter().sum::<f32>() / n;
        let deviation = (cells.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        cells.iter_mut().for_each(|v| *v = (*v - mean) / deviation);
        (deviation >= FLAT).then_some(Self(cells))
    }

    /// Pearson's coefficient over the common part, -1 to 1, at the best shift.
    fn best_correlation(&self, other: &Self) -> f32 {
        let shifts = (-REACH.1..=REACH.1).flat_map(|y| (-REACH.0..=REACH.0).map(move |x| (x, y)));
        shifts.map(|(x, y)| self.correlation(other, x, y)).fold(-1.0, f32::max)
    }

    fn correlation(&self, other: &Self, dx: i32, dy: i32) -> f32 {
        let span = |shift: i32, n: usize| {
            let skip = shift.unsigned_abs() as usize;
            if shift >= 0 { (skip, 0, n - skip) } else { (0, skip, n - skip) }
        };
        let ((ax, bx, width), (ay, by, height)) = (span(dx, COLUMNS), span(dy, ROWS));
        let (mut a, mut b, mut aa, mut bb, mut ab) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
        for y in 0..height {
            let left = &self.0[(y + ay) * COLUMNS + ax..][..width];
            let right = &other.0[(y + by) * COLUMNS + bx..][..width];
            for (p, q) in left.iter().zip(right) {
                a += p;
                b += q;
                aa += p * p;
                bb += q * q;
                ab += p * q;
            }
        }
        let n = (width * height) as f32;
        let spread = (aa - a * a / n) * (bb - b * b / n);
        if spread > 1e-3 { (ab - a * b / n) / spread.sqrt() } else { -1.0 }
    }

    /// Half the sum of differences, 0 to 1, over ±2 standard deviations.
    fn histogram_difference(&self, other: &Self) -> f32 {
        let histogram = |grid: &Self| {
            let mut bins = [0.0f32; BINS];
            for v in &grid.0 {
                let bin = ((v + 2.0) * BINS as f32 / 4.0).clamp(0.0, BINS as f32 - 1.0);
                bins[bin as usize] += 0.5 / (COLUMNS * ROWS) as f32;
            }
            bins
        };
        histogram(self).iter().zip(histogram(other)).map(|(p, q)| (p - q).abs()).sum()
    }
}

#[cfg(test)]
mod tests;
