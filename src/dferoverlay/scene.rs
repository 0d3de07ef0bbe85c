// SPDX-License-Identifier: MPL-2.0

//! What is to be seen on a frame, before anything is drawn. Equal scenes look equal.

use super::style::{Colour, GREY, colour};
use super::{Anonymize, Show};
use crate::core::result::{Expression, Status};
use crate::meta::{Face, FrameResults};

/// More faces than this are not drawn, the largest come first. (All are anonymised.)
const MOST: usize = 64;

/// How the element is set up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub draw_box: bool,
    pub draw_label: bool,
    pub draw_agreement: bool,
    pub draw_probabilities: bool,
    pub show: Show,
    /// Pango font family, or any font description.
    pub font: String,
    /// Pixels, 0 = by the height of the frame.
    pub font_size: f64,
    /// Pixels, 0 = by the height of the frame.
    pub line_width: f64,
    pub anonymize: Anonymize,
    pub disclosure: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            draw_box: true,
            draw_label: true,
            draw_agreement: true,
            draw_probabilities: false,
            show: Show::default(),
            font: "Sans".to_owned(),
            font_size: 0.0,
            line_width: 0.0,
            anonymize: Anonymize::default(),
            disclosure: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Scene {
    /// In order of their track ids.
    pub faces: Vec<Item>,
    pub disclosure: Option<String>,
}

/// One face.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub track_id: Option<u64>,
    pub place: Place,
    pub card: Card,
}

/// A box inside the frame, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub x: i32,
    pub y: i32,
    pub w: i32,
    pub h: i32,
}

/// What the card beside a face says. Empty texts are not drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Card {
    pub title: String,
    pub colour: Colour,
    /// Whether the result can be used; what cannot is drawn grey and dashed.
    pub stable: bool,
    /// Percent, 0 to 100.
    pub agreement: Option<u32>,
    /// Class, percent and colour.
    pub probabilities: Vec<(String, u32, Colour)>,
}

impl Scene {
    /// For a frame of `width` x `height`; without results only the disclosure is left.
    pub fn new(
        results: Option<&FrameResults>,
        settings: &Settings,
        width: u32,
        height: u32,
    ) -> Self {
        let shown = |face: &&Face| match settings.show {
            Show::All => face.expression.status != Status::NoFace,
            Show::Stable => face.expression.status == Status::Stable,
        };
        let item = |face: &Face| {
            let place = place(face, width, height)?;
            let e = &face.expression;
            Some(Item { track_id: e.track_id, place, card: Card::new(e, settings) })
        };
        let mut faces: Vec<_> =
            results.map_or(&[][..], |r| &r.faces).iter().filter(shown).filter_map(item).collect();
        if faces.len() > MOST {
            faces.sort_by_key(|f| std::cmp::Reverse(i64::from(f.place.w) * i64::from(f.place.h)));
            faces.truncate(MOST);
        }
        faces.sort_by_key(|f| f.track_id);
        Self { faces, disclosure: settings.disclosure.clone().filter(|d| !d.trim().is_empty()) }
    }
}

/// The visible part of a face's box.
fn place(face: &Face, width: u32, height: u32) -> Option<Place> {
    let rect = face.rect.filter(|r| r.is_sane())?.clipped(width as f32, height as f32)?;
    let (x, y) = (rect.x.round() as i32, rect.y.round() as i32);
    let (right, bottom) = ((rect.x + rect.w).round() as i32, (rect.y + rect.h).round() as i32);
    Some(Place { x, y, w: (right - x).max(1), h: (bottom - y).max(1) })
}

impl Card {
    fn new(e: &Expression, settings: &Settings) -> Self {
        let stable = e.status == Status::Stable;
        let index = |label: &str| {
            let all = e.probabilities.as_ref().map_or(&[][..], |p| &p.0);
            all.iter().position(|(l, _)| &**l == label).unwrap_or(0)
        };
        let colour_of = |label: &str| colour(label, index(label));
        let bars =
            e.probabilities.iter().filter(|_| settings.draw_probabilities).flat_map(|p| &p.0);
        Self {
            title: if settings.draw_label { title(e) } else { String::new() },
            colour: e.label.as_deref().filter(|_| stable).map_or(GREY, colour_of),
            stable,
            agreement: e.agreement.filter(|_| settings.draw_agreement).map(percent),
            probabilities: bars
                .map(|(label, p)| (label.to_string(), percent(*p), colour_of(label)))
                .collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.title.is_empty() && self.agreement.is_none() && self.probabilities.is_empty()
    }
}

/// `#3 happy 81 %`, or in words why there is no such answer.
fn title(e: &Expression) -> String {
    let id = e.track_id.map_or(String::new(), |id| format!("#{id} "));
    let label = e.label.as_deref();
    let rest = match e.status {
        Status::Stable => {
            let p = e.probability.map_or(String::new(), |p| format!(" {} %", percent(p)));
            format!("{}{p}", label.unwrap_or("stable"))
        }
        Status::Changing => label.map_or("changing".to_owned(), |l| format!("{l}, changing")),
        Status::WarmingUp => "warming up".to_owned(),
        Status::LowQuality => "low quality".to_owned(),
        Status::Uncertain => "uncertain".to_owned(),
        Status::NoFace => "no face".to_owned(),
    };
    id + &rest
}

fn percent(v: f32) -> u32 {
    (v.clamp(0.0, 1.0) * 100.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Rect;

    fn face(id: u64, status: Status, x: f32) -> Face {
        let expression = Expression {
            label: matches!(status, Status::Stable | Status::Changing).then(|| "happy".into()),
            probability: Some(0.806),
            agreement: Some(0.5),
            ..Expression::new(Some(id), status)
        };
        Face::new(Rect::new(x, 0.0, 10.0, 10.0), expression)
    }

    fn scene(faces: Vec<Face>, settings: &Settings) -> Scene {
        let results = FrameResults { faces, ..FrameResults::default() };
        Scene::new(Some(&results), settings, 100, 50)
    }

    #[test]
    fn every_status_says_what_it_is() {
        let titles = Status::ALL.map(|s| title(&face(3, s, 0.0).expression));
        assert_eq!(
            titles,
            [
                "#3 warming up",
                "#3 happy 81 %",
                "#3 happy, changing",
                "#3 uncertain",
                "#3 low quality",
                "#3 no face"
            ]
        );
    }

    #[test]
    fn only_stable_results_have_colour() {
        let faces = Status::ALL.iter().enumerate().map(|(i, s)| face(i as u64, *s, 0.0)).collect();
        for item in scene(faces, &Settings::default()).faces {
            assert_eq!(item.card.colour != GREY, item.card.stable);
        }
    }

    #[test]
    fn boxes_end_at_the_frame() {
        let s = scene(
            vec![face(1, Status::Stable, 95.0), face(2, Status::Stable, 100.0)],
            &Settings::default(),
        );
        assert_eq!(s.faces.len(), 1, "what is outside is not drawn");
        assert_eq!(s.faces[0].place, Place { x: 95, y: 0, w: 5, h: 10 });
    }

    #[test]
    fn settings_choose() {
        let stable = Settings { show: Show::Stable, draw_agreement: false, ..Settings::default() };
        let s = scene(vec![face(2, Status::Uncertain, 0.0), face(1, Status::Stable, 0.0)], &stable);
        assert_eq!(s.faces.iter().map(|f| f.track_id).collect::<Vec<_>>(), [Some(1)]);
        assert_eq!(s.faces[0].card.agreement, None);
        let bare = Settings { draw_label: false, draw_agreement: false, ..Settings::default() };
        assert!(scene(vec![face(1, Status::Stable, 0.0)], &bare).faces[0].card.is_empty());
    }

    #[test]
    fn crowds_are_bounded() {
        let faces = (0..500).map(|i| face(i, Status::Stable, i as f32 / 10.0)).collect();
        assert_eq!(scene(faces, &Settings::default()).faces.len(), MOST);
    }
}
