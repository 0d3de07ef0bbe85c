// SPDX-License-Identifier: MPL-2.0

//! Draws cards and the edges of boxes into small pictures.

use cairo::{Context, Format, ImageSurface, Operator};
use pangocairo::functions::{create_layout, show_layout};

use super::scene::{Card, Place};
use super::style::{Colour, GREY, Sizes};

/// A small picture, 32 bits a pixel with premultiplied alpha in the machine's byte order.
pub(super) struct Image {
    pub width: i32,
    pub height: i32,
    pub data: Vec<u8>,
}

/// What text looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Font {
    /// Pango font description; its size is not looked at.
    pub name: String,
    pub sizes: Sizes,
}

/// Bars and small text are this much smaller than the title.
const SMALL: f64 = 0.78;

/// Behind text.
const GROUND: Colour = Colour(0.05, 0.05, 0.06);

/// Text is not made smaller than this, in pixels, to fit.
const SMALLEST: f64 = 6.0;

impl Font {
    /// A size smaller, for what came out `width` by `height` in place of `most`; `None` where it fits
    /// or can be no smaller.
    fn smaller(&self, (width, height): (f64, f64), most: (i32, i32)) -> Option<Self> {
        let fits = width <= f64::from(most.0) && height <= f64::from(most.1);
        let font = (self.sizes.font * 0.85).max(SMALLEST);
        let sizes = Sizes { font, ..self.sizes };
        (!fits && font < self.sizes.font).then(|| Self { sizes, ..self.clone() })
    }
}

/// A card of at most that width and height in pixels, its text smaller where there is no other way.
pub(super) fn draw(card: &Card, font: &Font, most: (i32, i32)) -> Result<Image, cairo::Error> {
    let em = font.sizes.font;
    let (pad, strip) = ((em * 0.4).round(), (em * 0.3).round());
    let measure = Context::new(ImageSurface::create(Format::ARgb32, 1, 1)?)?;
    let room = f64::from(most.0) - 2.0 * pad - strip;
    let text = |t: &str, size: f64, bold: bool| Text::new(&measure, t, font, size, bold, room);

    let title = (!card.title.is_empty()).then(|| text(&card.title, em, true));
    let agreement =
        card.agreement.map(|a| (a, text(&format!("agreement {a} %"), em * SMALL, false)));
    let rows: Vec<_> = card
        .probabilities
        .iter()
        .map(|(label, p, colour)| (text(label, em * SMALL, false), *p, *colour))
        .collect();

    let bar = (em * 3.2).round();
    let gap = (em * 0.3).round();
    let labels = rows.iter().map(|(t, ..)| t.width).fold(0.0, f64::max);
    let widths = [
        title.as_ref().map_or(0.0, |t| t.width),
        agreement.as_ref().map_or(0.0, |(_, t)| bar + gap + t.width),
        if rows.is_empty() { 0.0 } else { labels + gap + bar },
    ];
    let heights = title
        .iter()
        .map(|t| t.height)
        .chain(agreement.iter().map(|(_, t)| t.height))
        .chain(rows.iter().map(|(t, ..)| t.height));
    let inner = widths.into_iter().fold(0.0, f64::max);
    let width = strip + 2.0 * pad + inner;
    let height = heights.sum::<f64>() + pad;
    if let Some(smaller) = font.smaller((width, height), most) {
        return draw(card, &smaller, most);
    }

    paint((width.ceil() as i32).min(most.0), (height.ceil() as i32).min(most.1), |cr| {
        let (w, h) = (width.ceil(), height.ceil());
        rounded(cr, 0.0, 0.0, w, h, em * 0.25);
        cr.clip();
        set(cr, GROUND, 0.82);
        cr.paint()?;
        set(cr, card.colour, 1.0);
        cr.rectangle(0.0, 0.0, strip, h);
        cr.fill()?;
        let x = strip + pad;
        let mut y = (pad / 2.0).round();
        if let Some(title) = &title {
            let colour = if card.stable { Colour(1.0, 1.0, 1.0) } else { Colour(0.82, 0.82, 0.82) };
            title.show(cr, x, y, colour);
            y += title.height;
        }
        if let Some((percent, text)) = &agreement {
            bar_at(cr, (x, y, bar, text.height), *percent, card.colour)?;
            text.show(cr, x + bar + gap, y, Colour(0.82, 0.82, 0.82));
            y += text.height;
        }
        for (text, percent, colour) in &rows {
            text.show(cr, x, y, Colour(0.82, 0.82, 0.82));
            let colour = if card.stable { *colour } else { GREY };
            bar_at(cr, (x + labels + gap, y, inner - labels - gap, text.height), *percent, colour)?;
            y += text.height;
        }
        Ok(())
    })
}

/// Text on a dark ground, of at most that width and height in pixels: in several lines, and smaller,
/// where there is no other way.
pub(super) fn draw_notice(
    notice: &str,
    font: &Font,
    most: (i32, i32),
) -> Result<Image, cairo::Error> {
    let em = font.sizes.font;
    let pad = (em * 0.4).round();
    let measure = Context::new(ImageSurface::create(Format::ARgb32, 1, 1)?)?;
    let text = Text::new(&measure, notice, font, em * 0.9, false, f64::from(most.0) - 2.0 * pad);
    text.layout.set_ellipsize(pango::EllipsizeMode::None);
    let text = text.measured();
    let (w, h) = ((text.width + 2.0 * pad).ceil(), (text.height + pad).ceil());
    if let Some(smaller) = font.smaller((w, h), most) {
        return draw_notice(notice, &smaller, most);
    }
    paint((w as i32).min(most.0), (h as i32).min(most.1), |cr| {
        rounded(cr, 0.0, 0.0, w, h, em * 0.25);
        set(cr, GROUND, 0.82);
        cr.fill()?;
        text.show(cr, pad, (pad / 2.0).round(), Colour(1.0, 1.0, 1.0));
        Ok(())
    })
}

/// The part `part` of the outline of `face`; both in pixels of the frame.
pub(super) fn draw_edge(
    face: Place,
    part: Place,
    colour: Colour,
    stable: bool,
    line: f64,
) -> Result<Image, cairo::Error> {
    paint(part.w, part.h, |cr| {
        cr.translate(f64::from(face.x - part.x), f64::from(face.y - part.y));
        let (w, h) = (f64::from(face.w), f64::from(face.h));
        rounded(cr, 0.0, 0.0, w, h, corner(line).min(w / 2.0).min(h / 2.0));
        if !stable {
            cr.set_dash(&[line * 4.0, line * 3.0], 0.0);
        }
        // A dark rim keeps the line visible on a bright picture.
        set(cr, Colour(0.0, 0.0, 0.0), 0.55);
        cr.set_line_width(line + 2.0 * rim(line));
        cr.stroke_preserve()?;
        set(cr, colour, 1.0);
        cr.set_line_width(line);
        cr.stroke()
    })
}

/// Radius of a box's corners, in pixels.
pub(super) fn corner(line: f64) -> f64 {
    line * 3.0
}

/// Width of the dark rim on each side of a line, in pixels.
pub(super) fn rim(line: f64) -> f64 {
    (line * 0.3).max(1.0)
}

fn bar_at(
    cr: &Context,
    (x, y, w, h): (f64, f64, f64, f64),
    percent: u32,
    colour: Colour,
) -> Result<(), cairo::Error> {
    let thick = (h * 0.42).round().max(2.0);
    let y = (y + (h - thick) / 2.0).round();
    set(cr, Colour(1.0, 1.0, 1.0), 0.22);
    cr.rectangle(x, y, w, thick);
    cr.fill()?;
    set(cr, colour, 1.0);
    cr.rectangle(x, y, w * f64::from(percent) / 100.0, thick);
    cr.fill()
}

fn set(cr: &Context, Colour(r, g, b): Colour, alpha: f64) {
    cr.set_source_rgba(r, g, b, alpha);
}

/// A rectangle with rounded corners as the path.
fn rounded(cr: &Context, x: f64, y: f64, w: f64, h: f64, r: f64) {
    use std::f64::consts::FRAC_PI_2;
    let r = r.min(w / 2.0).min(h / 2.0);
    cr.new_sub_path();
    for (i, (cx, cy)) in
        [(x + w - r, y + r), (x + w - r, y + h - r), (x + r, y + h - r), (x + r, y + r)]
            .into_iter()
            .enumerate()
    {
        let from = FRAC_PI_2 * (i as f64 - 1.0);
        cr.arc(cx, cy, r, from, from + FRAC_PI_2);
    }
    cr.close_path();
}

fn paint(
    width: i32,
    height: i32,
    draw: impl FnOnce(&Context) -> Result<(), cairo::Error>,
) -> Result<Image, cairo::Error> {
    let (width, height) = (width.max(1), height.max(1));
    let surface = ImageSurface::create(Format::ARgb32, width, height)?;
    {
        let cr = Context::new(&surface)?;
        cr.set_operator(Operator::Over);
        draw(&cr)?;
    }
    // With 32 bits a pixel, rows have no padding.
    let data = surface.take_data().map_err(|_| cairo::Error::SurfaceFinished)?;
    Ok(Image { width, height, data: data.to_vec() })
}

/// One line of text and its size in pixels.
struct Text {
    layout: pango::Layout,
    width: f64,
    height: f64,
}

impl Text {
    fn new(cr: &Context, text: &str, font: &Font, size: f64, bold: bool, most: f64) -> Self {
        let layout = create_layout(cr);
        let mut description = pango::FontDescription::from_string(&font.name);
        description.set_absolute_size(size * f64::from(pango::SCALE));
        if bold {
            description.set_weight(pango::Weight::Bold);
        }
        layout.set_font_description(Some(&description));
        layout.set_text(text);
        let text = Self { layout, width: 0.0, height: 0.0 }.measured();
        if text.width <= most {
            return text;
        }
        text.layout.set_width((most.max(1.0) * f64::from(pango::SCALE)) as i32);
        text.layout.set_wrap(pango::WrapMode::WordChar);
        text.layout.set_ellipsize(pango::EllipsizeMode::End);
        text.measured()
    }

    fn measured(self) -> Self {
        let (width, height) = self.layout.pixel_size();
        Self { width: f64::from(width), height: f64::from(height), ..self }
    }

    fn show(&self, cr: &Context, x: f64, y: f64, colour: Colour) {
        set(cr, colour, 1.0);
        cr.move_to(x, y);
        show_layout(cr, &self.layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How bright the outermost rows and columns are, where no text belongs, 0 to 255.
    fn rim_of(image: &Image) -> u8 {
        let (w, h) = (image.width as usize, image.height as usize);
        let pixels = image.data.chunks_exact(4).map(|p| p[0].min(p[1]).min(p[2])).enumerate();
        let outer = |i: usize| i % w == w - 1 || i / w == 0 || i / w == h - 1;
        pixels.filter(|(i, _)| outer(*i)).map(|(_, value)| value).max().unwrap()
    }

    #[test]
    fn text_that_does_not_fit_is_made_smaller_and_not_cut_off() {
        const DARK: Colour = Colour(0.0, 0.0, 0.0);
        let card = Card {
            title: "#1 surprise 100 %".into(),
            colour: DARK,
            stable: true,
            agreement: Some(100),
            probabilities: ["happy", "surprise", "fear"].map(|c| (c.into(), 33, DARK)).into(),
        };
        let notice = "Facial expressions are analysed here. ".repeat(3);
        for most in [(320, 180), (640, 360)] {
            for size in [40.0, 90.0, 200.0, 500.0] {
                let sizes = Sizes::new(most.1 as u32, size, 0.0);
                let font = Font { name: "Sans".into(), sizes };
                for image in
                    [draw(&card, &font, most).unwrap(), draw_notice(&notice, &font, most).unwrap()]
                {
                    assert!(image.width <= most.0 && image.height <= most.1);
                    let (rim, w, h) = (rim_of(&image), image.width, image.height);
                    assert!(rim < 100, "{most:?} {size}: {w}x{h}, text up to the edge ({rim})");
                }
            }
        }
    }
}
