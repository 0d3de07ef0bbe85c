// SPDX-License-Identifier: MPL-2.0

//! Where the cards go: beside their face, inside the frame, not on another card.

use super::scene::Place;

/// Where a card is in relation to its face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    AboveLeft,
    AboveRight,
    BelowLeft,
    BelowRight,
    Right,
    Left,
    InsideTop,
    InsideBottom,
}

impl Side {
    /// Best first.
    const ALL: [Self; 8] = [
        Self::AboveLeft,
        Self::AboveRight,
        Self::BelowLeft,
        Self::BelowRight,
        Self::Right,
        Self::Left,
        Self::InsideTop,
        Self::InsideBottom,
    ];

    /// Top left corner of a card of `w` x `h` at `gap` from the face.
    fn of(self, face: Place, (w, h): (i32, i32), gap: i32) -> (i32, i32) {
        let (right, bottom) = (face.x + face.w, face.y + face.h);
        match self {
            Self::AboveLeft => (face.x - gap, face.y - gap - h),
            Self::AboveRight => (right + gap - w, face.y - gap - h),
            Self::BelowLeft => (face.x - gap, bottom + gap),
            Self::BelowRight => (right + gap - w, bottom + gap),
            Self::Right => (right + gap, face.y),
            Self::Left => (face.x - gap - w, face.y),
            Self::InsideTop => (face.x, face.y),
            Self::InsideBottom => (face.x, bottom - h),
        }
    }
}

/// A card to be placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub face: Place,
    /// Width and height of the card.
    pub size: (i32, i32),
    /// Where it was on the frame before, so that it does not jump without need.
    pub before: Option<Side>,
}

/// Places the cards one after the other, off the `taken` box where they can. Cards larger than
/// the frame start at its corner.
pub(super) fn place(
    requests: &[Request],
    (width, height): (i32, i32),
    gap: i32,
    taken: Option<Place>,
) -> Vec<(Side, Place)> {
    let mut placed: Vec<(Side, Place)> = Vec::new();
    for (i, request) in requests.iter().enumerate() {
        let (w, h) = request.size;
        let candidate = |side: Side| {
            let (x, y) = side.of(request.face, request.size, gap);
            let inside = |v: i32, size: i32, limit: i32| v.min(limit - size).max(0);
            Place { x: inside(x, w, width), y: inside(y, h, height), w, h }
        };
        // Covering a card is worst, then covering a face of others, then one's own, then change.
        let cost = |rank: usize, side: Side| {
            let card = candidate(side);
            let cards: i64 =
                placed.iter().map(|(_, p)| p).chain(&taken).map(|p| common(&card, p)).sum();
            let others = requests.iter().enumerate().filter(|(j, _)| *j != i);
            let faces: i64 = others.map(|(_, r)| common(&card, &r.face)).sum();
            let own = common(&card, &request.face);
            let kept = if request.before == Some(side) { 0 } else { rank as i64 + 1 };
            (cards, faces, own, kept)
        };
        let sides = Side::ALL.into_iter().enumerate();
        let best =
            sides.min_by_key(|(rank, side)| cost(*rank, *side)).map_or(Side::AboveLeft, |(_, s)| s);
        placed.push((best, candidate(best)));
    }
    placed
}

/// Pixels that two boxes share.
fn common(a: &Place, b: &Place) -> i64 {
    let w = (a.x + a.w).min(b.x + b.w) - a.x.max(b.x);
    let h = (a.y + a.h).min(b.y + b.h) - a.y.max(b.y);
    i64::from(w.max(0)) * i64::from(h.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: (i32, i32) = (640, 360);

    fn request(x: i32, y: i32, w: i32, h: i32) -> Request {
        Request { face: Place { x, y, w, h }, size: (120, 40), before: None }
    }

    #[test]
    fn a_lone_card_is_above_its_face() {
        let placed = place(&[request(200, 150, 100, 120)], FRAME, 4, None);
        assert_eq!(placed, [(Side::AboveLeft, Place { x: 196, y: 106, w: 120, h: 40 })]);
    }

    #[test]
    fn cards_stay_inside_the_frame() {
        for (x, y) in [(0, 0), (600, 0), (0, 330), (600, 330), (-50, -50), (5000, 5000)] {
            let (_, card) = place(&[request(x, y, 40, 30)], FRAME, 4, None)[0];
            assert!(
                card.x >= 0 && card.y >= 0 && card.x + 120 <= 640 && card.y + 40 <= 360,
                "{card:?}"
            );
        }
    }

    #[test]
    fn without_room_above_it_is_below() {
        let (side, card) = place(&[request(200, 10, 100, 120)], FRAME, 4, None)[0];
        assert_eq!((side, card.y), (Side::BelowLeft, 134));
    }

    #[test]
    fn a_face_as_large_as_the_frame_has_its_card_inside() {
        let (_, card) = place(&[request(0, 0, 640, 360)], FRAME, 4, None)[0];
        assert_eq!((card.x, card.y), (0, 0));
    }

    #[test]
    fn neighbours_do_not_cover_each_other() {
        let row: Vec<_> = (0..5).map(|i| request(20 + i * 110, 150, 90, 100)).collect();
        let placed = place(&row, FRAME, 4, None);
        for (i, (_, a)) in placed.iter().enumerate() {
            for (_, b) in &placed[i + 1..] {
                assert_eq!(common(a, b), 0, "{placed:?}");
            }
        }
    }

    #[test]
    fn cards_keep_off_the_notice() {
        let notice = Place { x: 0, y: 100, w: 640, h: 30 };
        assert_eq!(
            place(&[request(200, 150, 100, 120)], FRAME, 4, Some(notice))[0].0,
            Side::BelowLeft
        );
    }

    #[test]
    fn a_card_stays_where_it_was_while_it_can() {
        let mut r = request(200, 150, 100, 120);
        r.before = Some(Side::BelowLeft);
        assert_eq!(place(&[r], FRAME, 4, None)[0].0, Side::BelowLeft);
        r.face.y = 300;
        assert_eq!(place(&[r], FRAME, 4, None)[0].0, Side::AboveLeft);
    }

    #[test]
    fn cards_larger_than_the_frame_start_at_the_corner() {
        let (_, card) = place(&[request(10, 10, 5, 5)], (64, 32), 2, None)[0];
        assert_eq!((card.x, card.y), (0, 0));
    }
}
