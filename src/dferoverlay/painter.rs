// SPDX-License-Identifier: MPL-2.0

//! Turns scenes into overlay compositions; what has not changed is not drawn again.

use gst_video::{VideoOverlayComposition, VideoOverlayFormatFlags, VideoOverlayRectangle};

use super::card::{self, Font, Image};
use super::layout::{self, Request, Side};
use super::scene::{Card, Item, Place, Scene};
use super::style::Sizes;

/// Keeps the pictures of the frame before.
#[derive(Default)]
pub(super) struct Painter {
    look: Option<Look>,
    scene: Scene,
    composition: Option<VideoOverlayComposition>,
    faces: Vec<Drawn>,
    notice: Option<(String, gst::Buffer, (i32, i32))>,
}

/// What all pictures depend on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub font: Font,
    pub draw_box: bool,
    /// Width and height, in pixels.
    pub frame: (u32, u32),
}

/// A face's pictures.
struct Drawn {
    track_id: Option<u64>,
    card: Card,
    /// Picture, size and place of the card.
    tag: Option<(gst::Buffer, (i32, i32), Side)>,
    place: Place,
    /// Pictures of the outline with their places.
    edges: Vec<(gst::Buffer, Place)>,
}

impl Painter {
    /// The drawing for a frame; `None` when there is nothing to draw.
    pub fn paint(
        &mut self,
        scene: Scene,
        look: &Look,
    ) -> Result<Option<&VideoOverlayComposition>, cairo::Error> {
        if self.look.as_ref() != Some(look) {
            *self = Self { look: Some(look.clone()), ..Self::default() };
        } else if scene == self.scene {
            return Ok(self.composition.as_ref());
        }
        // Until everything is drawn, nothing of it counts.
        self.scene = Scene::default();
        self.composition = None;
        let rectangles = self.rectangles(&scene, look)?;
        if !rectangles.is_empty() {
            self.composition = VideoOverlayComposition::new(&rectangles).ok();
        }
        self.scene = scene;
        Ok(self.composition.as_ref())
    }

    fn rectangles(
        &mut self,
        scene: &Scene,
        look: &Look,
    ) -> Result<Vec<VideoOverlayRectangle>, cairo::Error> {
        let frame = (look.frame.0 as i32, look.frame.1 as i32);
        let old = std::mem::take(&mut self.faces);
        for item in &scene.faces {
            let before = old.iter().find(|d| d.track_id == item.track_id);
            self.faces.push(Drawn::new(item, before, look)?);
        }
        let sizes = look.font.sizes;
        let tagged: Vec<_> =
            (0..self.faces.len()).filter(|i| self.faces[*i].tag.is_some()).collect();
        let requests: Vec<_> = tagged.iter().filter_map(|i| self.faces[*i].request(&old)).collect();
        let notice = self.notice(scene, look)?;
        let gap = (sizes.line / 2.0 + card::rim(sizes.line)).ceil() as i32;
        let mut all: Vec<_> =
            self.faces.iter().flat_map(|d| &d.edges).map(|(b, p)| rectangle(b, *p)).collect();
        for (i, (side, place)) in tagged.into_iter().zip(layout::place(
            &requests,
            frame,
            gap,
            notice.as_ref().map(|n| n.1),
        )) {
            if let Some((buffer, _, at)) = &mut self.faces[i].tag {
                *at = side;
                all.push(rectangle(buffer, place));
            }
        }
        all.extend(notice.map(|(buffer, place)| rectangle(&buffer, place)));
        Ok(all)
    }

    /// Picture and place of the disclosure: bottom left.
    fn notice(
        &mut self,
        scene: &Scene,
        look: &Look,
    ) -> Result<Option<(gst::Buffer, Place)>, cairo::Error> {
        let Some(notice) = &scene.disclosure else { return Ok(None) };
        let frame = (look.frame.0 as i32, look.frame.1 as i32);
        // Of a font that is as large as the frame, the margin is no measure.
        let margin = (look.font.sizes.font * 0.5).round().min(f64::from(frame.1) * 0.05) as i32;
        if self.notice.as_ref().is_none_or(|(text, ..)| text != notice) {
            let room = (frame.0 - 2 * margin, frame.1 - 2 * margin);
            let image = card::draw_notice(notice, &look.font, room)?;
            let size = (image.width, image.height);
            self.notice = Some((notice.clone(), buffer(image), size));
        }
        Ok(self.notice.as_ref().map(|(_, buffer, (w, h))| {
            let y = (frame.1 - margin - h).max(0);
            (buffer.clone(), Place { x: margin, y, w: *w, h: *h })
        }))
    }
}

impl Drawn {
    fn new(item: &Item, before: Option<&Self>, look: &Look) -> Result<Self, cairo::Error> {
        let sizes = look.font.sizes;
        let tag = match before.filter(|d| d.card == item.card).map(|d| d.tag.clone()) {
            Some(tag) => tag,
            None if item.card.is_empty() => None,
            None => {
                let frame = (look.frame.0 as i32, look.frame.1 as i32);
                let image = card::draw(&item.card, &look.font, frame)?;
                let size = (image.width, image.height);
                Some((buffer(image), size, Side::AboveLeft))
            }
        };
        let same_look = |d: &&Self| {
            d.place == item.place
                && d.card.stable == item.card.stable
                && d.card.colour == item.card.colour
        };
        let edges = match before.filter(same_look) {
            Some(d) => d.edges.clone(),
            None if look.draw_box => {
                let draw = |part| {
                    let (colour, stable) = (item.card.colour, item.card.stable);
                    let image = card::draw_edge(item.place, part, colour, stable, sizes.line)?;
                    Ok((buffer(image), part))
                };
                strips(item.place, sizes, look.frame)
                    .into_iter()
                    .map(draw)
                    .collect::<Result<_, cairo::Error>>()?
            }
            None => Vec::new(),
        };
        Ok(Self { track_id: item.track_id, card: item.card.clone(), tag, place: item.place, edges })
    }

    fn request(&self, old: &[Self]) -> Option<Request> {
        let (_, size, _) = self.tag.as_ref()?;
        let before = old.iter().find(|d| d.track_id == self.track_id);
        let before = before.and_then(|d| d.tag.as_ref()).map(|(_, _, side)| *side);
        Some(Request { face: self.place, size: *size, before })
    }
}

/// The parts of the frame that hold a face's outline: four strips, or one box where it is small.
fn strips(face: Place, sizes: Sizes, (width, height): (u32, u32)) -> Vec<Place> {
    let line = sizes.line;
    let out = (line / 2.0 + card::rim(line)).ceil() as i32;
    let deep = out + card::corner(line).ceil() as i32 + out;
    let outer =
        Place { x: face.x - out, y: face.y - out, w: face.w + 2 * out, h: face.h + 2 * out };
    let parts = if outer.w <= 2 * deep || outer.h <= 2 * deep {
        vec![outer]
    } else {
        let (right, bottom, between) =
            (outer.x + outer.w - deep, outer.y + outer.h - deep, outer.h - 2 * deep);
        vec![
            Place { h: deep, ..outer },
            Place { y: bottom, h: deep, ..outer },
            Place { y: outer.y + deep, w: deep, h: between, ..outer },
            Place { x: right, y: outer.y + deep, w: deep, h: between },
        ]
    };
    parts.into_iter().filter_map(|p| visible(p, width as i32, height as i32)).collect()
}

fn visible(p: Place, width: i32, height: i32) -> Option<Place> {
    let (x, y) = (p.x.max(0), p.y.max(0));
    let (w, h) = ((p.x + p.w).min(width) - x, (p.y + p.h).min(height) - y);
    (w > 0 && h > 0).then_some(Place { x, y, w, h })
}

fn buffer(image: Image) -> gst::Buffer {
    let format = if cfg!(target_endian = "little") {
        gst_video::VideoFormat::Bgra
    } else {
        gst_video::VideoFormat::Argb
    };
    let (width, height) = (image.width as u32, image.height as u32);
    let mut buffer = gst::Buffer::from_slice(image.data);
    if let Some(buffer) = buffer.get_mut() {
        // Cannot fail: the picture has the size it says.
        let _ = gst_video::VideoMeta::add(
            buffer,
            gst_video::VideoFrameFlags::empty(),
            format,
            width,
            height,
        );
    }
    buffer
}

fn rectangle(buffer: &gst::Buffer, p: Place) -> VideoOverlayRectangle {
    let flags = VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA;
    VideoOverlayRectangle::new_raw(buffer, p.x, p.y, p.w as u32, p.h as u32, flags)
}
