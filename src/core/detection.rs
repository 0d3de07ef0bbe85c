// SPDX-License-Identifier: MPL-2.0

//! From the maps of an anchor-free face detector to faces.

use ndarray::{ArrayView2, ArrayView3};

use super::networks::Detection;
use super::types::{Landmarks, Point, Rect};

/// Values of `geometry` for each cell: centre, size, five landmarks.
pub const GEOMETRY: usize = 14;

/// More faces than any frame shows; bounds the time of [`merge`] on noise.
const MOST: usize = 512;

/// The answer of a detector at one stride.
#[derive(Debug, Clone, Copy)]
pub struct Maps<'a> {
    /// Pixels from one cell to the next.
    pub stride: usize,
    /// rows x columns, probability 0 to 1.
    pub score: ArrayView2<'a, f32>,
    /// 14 x rows x columns: offset of the box's centre from the cell's, logarithm of its width and
    /// height, offsets of the landmarks, all in strides.
    pub geometry: ArrayView3<'a, f32>,
}

impl Maps<'_> {
    /// Appends every cell that scores at least `min_score` and holds a possible face.
    pub fn decode(&self, min_score: f32, found: &mut Vec<Detection>) {
        let stride = self.stride as f32;
        for ((row, column), &score) in self.score.indexed_iter() {
            if score < min_score {
                continue;
            }
            let cell = Point::new((column as f32 + 0.5) * stride, (row as f32 + 0.5) * stride);
            let value = |k: usize| self.geometry[[k, row, column]];
            let at =
                |k: usize| Point::new(cell.x + value(k) * stride, cell.y + value(k + 1) * stride);
            let rect = Rect::centered(at(0), value(2).exp() * stride, value(3).exp() * stride);
            let landmarks: Landmarks = std::array::from_fn(|k| at(4 + 2 * k));
            let sane =
                rect.is_sane() && landmarks.iter().all(|p| p.x.is_finite() && p.y.is_finite());
            if sane {
                found.push(Detection { rect, landmarks, score });
            }
        }
    }
}

/// Each face once, best first. Cells whose boxes overlap the best cell's by more than `max_iou` see
/// the same face: box and landmarks are the mean of all of them, weighted by score, which moves far
/// less from frame to frame than the best cell alone (BlazeFace, arXiv 1907.05047). A face scores
/// what its best cell does, `min_score` at least; cells below that only have a say.
pub fn merge(mut found: Vec<Detection>, max_iou: f32, min_score: f32) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces: Vec<Group> = Vec::new();
    for cell in found.into_iter().take(MOST) {
        match faces.iter_mut().find(|face| face.best.rect.iou(&cell.rect) > max_iou) {
            Some(face) => face.add(&cell),
            None if cell.score >= min_score => faces.push(Group::new(cell)),
            None => {}
        }
    }
    faces.into_iter().map(|face| face.mean()).collect()
}

/// Cells that see one face.
struct Group {
    best: Detection,
    weight: f32,
    /// Weighted sums of x, y, width and height, and of the landmarks.
    rect: [f32; 4],
    landmarks: Landmarks,
}

impl Group {
    fn new(best: Detection) -> Self {
        let mut group =
            Self { best, weight: 0.0, rect: [0.0; 4], landmarks: [Point::default(); 5] };
        group.add(&best);
        group
    }

    fn add(&mut self, cell: &Detection) {
        let Rect { x, y, w, h } = cell.rect;
        self.weight += cell.score;
        for (sum, value) in self.rect.iter_mut().zip([x, y, w, h]) {
            *sum += cell.score * value;
        }
        for (sum, p) in self.landmarks.iter_mut().zip(&cell.landmarks) {
            (sum.x, sum.y) = (sum.x + cell.score * p.x, sum.y + cell.score * p.y);
        }
    }

    fn mean(self) -> Detection {
        let [x, y, w, h] = self.rect.map(|sum| sum / self.weight);
        let landmarks = self.landmarks.map(|p| Point::new(p.x / self.weight, p.y / self.weight));
        Detection { rect: Rect::new(x, y, w, h), landmarks, score: self.best.score }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        let rect = Rect::new(x, 0.0, 10.0, 10.0);
        Detection { rect, landmarks: [rect.center(); 5], score }
    }

    #[test]
    fn a_cell_becomes_its_face() {
        let mut score = Array2::zeros((2, 3));
        score[[1, 2]] = 0.75;
        let mut geometry = Array3::zeros((GEOMETRY, 2, 3));
        for (k, value) in [0.5, -0.25, 0.0, 2f32.ln(), -1.0, -1.0].into_iter().enumerate() {
            geometry[[k, 1, 2]] = value;
        }
        let mut found = Vec::new();
        Maps { stride: 8, score: score.view(), geometry: geometry.view() }.decode(0.5, &mut found);
        assert_eq!(found.len(), 1);
        // The cell's centre is (20, 12).
        let face = found[0];
        assert_eq!(face.score, 0.75);
        assert_eq!(face.rect.center(), Point::new(24.0, 10.0));
        assert!((face.rect.w - 8.0).abs() < 1e-4 && (face.rect.h - 16.0).abs() < 1e-4);
        assert_eq!(face.landmarks[0], Point::new(12.0, 4.0));
        assert_eq!(face.landmarks[4], Point::new(20.0, 12.0));
    }

    #[test]
    fn what_cannot_be_a_face_is_left_out() {
        let score = Array2::from_elem((1, 3), 0.9);
        let mut geometry = Array3::zeros((GEOMETRY, 1, 3));
        geometry[[2, 0, 0]] = 200.0;
        geometry[[5, 0, 1]] = f32::NAN;
        let mut found = Vec::new();
        Maps { stride: 8, score: score.view(), geometry: geometry.view() }.decode(0.5, &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rect.center(), Point::new(20.0, 4.0));
    }

    #[test]
    fn overlapping_cells_are_one_face_and_all_have_a_say() {
        let cells = vec![face(0.0, 0.6), face(1.0, 0.9), face(50.0, 0.7), face(9.0, 0.5)];
        let faces = merge(cells, 0.4, 0.5);
        let scores: Vec<f32> = faces.iter().map(|d| d.score).collect();
        assert_eq!(scores, [0.9, 0.7, 0.5]);
        // (0.9 · 1 + 0.6 · 0) / 1.5, and the landmarks with it.
        assert!((faces[0].rect.x - 0.6).abs() < 1e-6 && (faces[0].rect.w - 10.0).abs() < 1e-5);
        assert!((faces[0].landmarks[4].x - 5.6).abs() < 1e-5, "{:?}", faces[0]);
    }

    #[test]
    fn weak_cells_have_a_say_but_are_no_faces() {
        let faces = merge(vec![face(0.0, 0.6), face(2.0, 0.3), face(80.0, 0.3)], 0.4, 0.5);
        assert_eq!(faces.len(), 1);
        assert!((faces[0].rect.x - 2.0 / 3.0).abs() < 1e-6, "{:?}", faces[0]);
    }

    #[test]
    fn noise_is_bounded() {
        let many = (0..5000).map(|k| face(k as f32 * 20.0, 0.5)).collect();
        assert_eq!(merge(many, 0.4, 0.5).len(), MOST);
    }
}
