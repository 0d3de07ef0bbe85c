// SPDX-License-Identifier: MPL-2.0

//! The page of `dfer analyze --report`: a timeline of every face.

use std::collections::BTreeMap;
use std::fmt::Write;

use gstdfer::core::Ns;
use gstdfer::core::palette;
use gstdfer::core::result::Status;
use gstdfer::core::types::SECOND;

use crate::predict::Key;
use crate::report::{Shot, details, escape, scroll, shots};
use crate::shown::seconds;
use crate::timeline::{Face, Span, Timeline};

/// What is told of one input.
pub struct Input {
    pub name: String,
    /// Or why nothing was seen.
    pub seen: Result<Timeline, String>,
    /// By track id; none unless they are wanted.
    pub pictures: BTreeMap<u64, Vec<Shot>>,
}

/// Pictures of a face at most.
const PICTURES: usize = 12;

/// Width of a plot in its own units.
const WIDTH: f64 = 1000.0;
/// Time marks on an axis at most.
const MARKS: u64 = 12;

/// The page for these inputs.
pub fn page(inputs: &[Input]) -> String {
    let mut body = String::from(
        "<p>An expression is what a face shows; it does not tell what a person feels. \
         Grey, dashed stretches are those in which no label can be trusted.</p>\n",
    );
    for Input { name, seen, pictures } in inputs {
        body += &format!("<section><h2>{}</h2>\n", escape(name));
        match seen {
            Ok(timeline) => body += &input(timeline, pictures),
            Err(cause) => body += &format!("<p>Could not be analysed: {}</p>\n", escape(cause)),
        }
        body += "</section>\n";
    }
    super::page("Facial expressions over time", &body)
}

fn input(timeline: &Timeline, pictures: &BTreeMap<u64, Vec<Shot>>) -> String {
    let length = seconds(timeline.end.saturating_sub(timeline.start));
    let mut html = format!("<p>{length}, {} frames</p>\n", timeline.frames);
    if timeline.faces.is_empty() {
        return html + "<p>No face was seen.</p>\n";
    }
    for (track, face) in &timeline.faces {
        html += &format!("<h3>Face {track}</h3>\n<ul>\n");
        for (what, t) in face.shares() {
            html += &format!("<li>{}: {}</li>\n", escape(&what), seconds(t));
        }
        html += "</ul>\n";
        let classes = classes(face);
        html += &legend(&classes);
        let title = format!("Face {track} over {length}; the same is in the tables below");
        let name = format!("Timeline of face {track}");
        html += &scroll(&name, &plot(face, timeline, &classes, &title));
        html += &pictures.get(track).map_or(String::new(), |all| shots(all));
        html += &tables(*track, face, &classes, timeline.start);
    }
    html
}

/// In the model's order; those of the labels where no decision was made.
fn classes(face: &Face) -> Vec<String> {
    let decided = face.decisions.first().map(|d| &d.probabilities.0);
    decided.map(|all| all.iter().map(|(label, _)| label.to_string()).collect()).unwrap_or_default()
}

/// The colour of a class, 0xRRGGBB.
fn colour(label: &str, classes: &[String]) -> u32 {
    let place = classes.iter().position(|class| class == label);
    palette::colour(label, place.unwrap_or(classes.len()))
}

fn legend(classes: &[String]) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for class in classes {
        let colour = colour(class, classes);
        let _ =
            write!(html, "<li><i style=\"background:#{colour:06x}\"></i>{}</li>", escape(class));
    }
    html + "<li>line: agreement of the clips, 0 to 1</li><li>ticks: key moments</li></ul>\n"
}

/// The label that holds during a span.
fn held(span: &Span) -> Option<&str> {
    let holds = matches!(span.status, Status::Stable | Status::Changing);
    span.label.as_deref().filter(|_| holds)
}

fn plot(face: &Face, timeline: &Timeline, classes: &[String], title: &str) -> String {
    let length = timeline.end.saturating_sub(timeline.start).max(1);
    let x = |t: Ns| t.saturating_sub(timeline.start) as f64 / length as f64 * WIDTH;
    let mut svg = format!(
        "<svg viewBox=\"-30 0 1060 172\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>",
        escape(title)
    );
    for span in &face.spans {
        let (from, width) = (x(span.start), x(span.end) - x(span.start));
        let what = escape(held(span).unwrap_or(span.status.as_str()));
        let look = match held(span) {
            Some(label) => format!("fill=\"#{:06x}\"", colour(label, classes)),
            None => "class=\"none\"".to_owned(),
        };
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"4\" width=\"{width:.1}\" height=\"36\" {look}><title>{what}</title></rect>"
        );
        // About the width of a letter.
        if width > 8.0 * what.len() as f64 {
            let on = match held(span).map(|label| palette::is_dark(colour(label, classes))) {
                Some(true) => " class=\"on-dark\"",
                Some(false) => " class=\"on\"",
                None => "",
            };
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"27\"{on}>{what}</text>", from + 4.0);
        }
    }
    for (level, name) in [(0.0, "0"), (1.0, "1")] {
        let y = height(level);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/><text x=\"-16\" y=\"{}\">{name}</text>",
            y + 4.0
        );
    }
    let points: Vec<_> = face
        .decisions
        .iter()
        .filter_map(|d| Some(format!("{:.1},{:.1}", x(d.t), height(f64::from(d.agreement?)))))
        .collect();
    let _ = write!(svg, "<polyline class=\"agreement\" points=\"{}\"/>", points.join(" "));
    let mut keys: Vec<Ns> = face.decisions.iter().flat_map(|d| d.key_times.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    for t in keys {
        let x = x(t);
        let _ =
            write!(svg, "<line class=\"key\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"124\" y2=\"136\"/>");
    }
    let step = step(length);
    for t in (0..=length).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let at = t as f64 / length as f64 * WIDTH;
        let name = t as f64 / SECOND as f64;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"140\" y2=\"148\"/><text x=\"{at:.1}\" y=\"164\" text-anchor=\"middle\">{name} s</text>"
        );
    }
    svg + "</svg>"
}

/// Where an agreement of 0 to 1 lies.
fn height(level: f64) -> f64 {
    118.0 - 66.0 * level
}

/// Time between two marks: 0.1, 0.2, 0.5, 1, 2, 5, ... seconds.
fn step(length: Ns) -> Ns {
    let mut unit = SECOND / 10;
    loop {
        for factor in [1, 2, 5] {
            if length / (unit * factor) <= MARKS {
                return unit * factor;
            }
        }
        unit *= 10;
    }
}

fn tables(track: u64, face: &Face, classes: &[String], start: Ns) -> String {
    let at = |t: Ns| seconds(t.saturating_sub(start));
    let mut rows = String::from(
        "<table><tr><th scope=\"col\">from</th><th scope=\"col\">to</th><th scope=\"col\">status</th>\
         <th scope=\"col\">label</th></tr>\n",
    );
    for span in &face.spans {
        let label = escape(held(span).unwrap_or("none"));
        let (from, to, status) = (at(span.start), at(span.end), span.status);
        let _ = writeln!(
            rows,
            "<tr><td>{from}</td><td>{to}</td><td>{status}</td><td>{label}</td></tr>"
        );
    }
    let name = format!("Labels and statuses of face {track}");
    let mut html = details("Labels and statuses as a table", &scroll(&name, &(rows + "</table>")));
    let mut rows = String::from(
        "<table><tr><th scope=\"col\">time</th><th scope=\"col\">agreement</th>\
         <th scope=\"col\">key moments</th>",
    );
    for class in classes {
        let _ = write!(rows, "<th scope=\"col\">{}</th>", escape(class));
    }
    rows += "</tr>\n";
    for decision in &face.decisions {
        let agreement = decision.agreement.map_or("unknown".to_owned(), |a| format!("{a:.3}"));
        let keys: Vec<_> = decision.key_times.iter().map(|t| at(*t)).collect();
        let (t, keys) = (at(decision.t), keys.join(", "));
        let _ = write!(rows, "<tr><td>{t}</td><td>{agreement}</td><td>{keys}</td>");
        for (_, p) in &decision.probabilities.0 {
            let _ = write!(rows, "<td>{p:.3}</td>");
        }
        rows += "</tr>\n";
    }
    let name = format!("Decisions on face {track}");
    html += &details(
        "Decisions: agreement, key moments, probabilities",
        &scroll(&name, &(rows + "</table>")),
    );
    html
}

/// What a picture may show of a face: a key moment of each of its longest labelled stretches, in
/// order of time, and what is written under it.
pub fn moments(face: &Face, start: Ns) -> Vec<(Key, String)> {
    let mut keys: Vec<Ns> = face.decisions.iter().flat_map(|d| d.key_times.clone()).collect();
    keys.sort_unstable();
    let mut spans: Vec<&Span> = face.spans.iter().filter(|span| held(span).is_some()).collect();
    spans.sort_by_key(|span| std::cmp::Reverse(span.end - span.start));
    spans.truncate(PICTURES);
    spans.sort_by_key(|span| span.start);
    let moment = |span: &Span| {
        let inside: Vec<_> = keys.iter().filter(|t| (span.start..=span.end).contains(*t)).collect();
        let t = inside.get(inside.len() / 2).map_or(span.start, |t| **t);
        let text = format!("{}, {}", held(span)?, seconds(t.saturating_sub(start)));
        Some((Key { t, rect: face.rect_at(t) }, text))
    };
    spans.into_iter().filter_map(moment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let name = "<script>alert('x')</script>\"&".to_owned();
        let input = Input { name: name.clone(), seen: Err(name), pictures: BTreeMap::new() };
        let page = page(&[input]);
        assert!(!page.contains("<script"), "{page}");
        let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;";
        assert_eq!(page.matches(escaped).count(), 2);
    }

    #[test]
    fn axes_have_few_round_marks() {
        let second = |s: f64| (s * SECOND as f64) as Ns;
        assert_eq!(step(second(1.0)), second(0.1));
        assert_eq!(step(second(14.0)), second(2.0));
        assert_eq!(step(second(3600.0)), second(500.0));
        assert_eq!(step(1), second(0.1));
    }
}
