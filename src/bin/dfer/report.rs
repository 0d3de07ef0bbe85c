// SPDX-License-Identifier: MPL-2.0

//! The page of `dfer analyze --report`: one file that needs neither network nor script, without
//! pictures of anybody.

use std::fmt::Write;

use gstdfer::core::Ns;
use gstdfer::core::result::Status;
use gstdfer::core::types::SECOND;

use crate::shown::seconds;
use crate::timeline::{Face, Span, Timeline};

/// Told apart by colour-blind people too (Okabe and Ito 2008); classes in the model's order.
const COLOURS: [&str; 7] =
    ["#e69f00", "#0072b2", "#8a8a8a", "#d55e00", "#f0e442", "#009e73", "#cc79a7"];
/// Of classes beyond these.
const OTHER: &str = "#56b4e9";

/// Width of a plot in its own units.
const WIDTH: f64 = 1000.0;
/// Time marks on an axis at most.
const MARKS: u64 = 12;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #bbb; --faint: #eee; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eee; --paper: #16181b; --line: #555; --faint: #2a2d31; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 40rem; }
svg text { fill: var(--ink); font-size: 13px; }
svg .on { fill: #000; }
svg .grid { stroke: var(--line); }
svg .agreement { fill: none; stroke: var(--ink); stroke-width: 2; }
svg .key { stroke: var(--ink); stroke-width: 1.5; }
svg .none { fill: var(--faint); stroke: var(--line); stroke-dasharray: 4 3; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--line); padding: .15rem .5rem; text-align: left; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 1em; height: 1em; margin-right: .4em;
  vertical-align: -.1em; border: 1px solid var(--line); }
";

/// The page for these inputs: name and what was seen, or why nothing was.
pub fn page(inputs: &[(String, Result<Timeline, String>)]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Facial expressions over time</title><style>{STYLE}</style></head><body>\n\
         <h1>Facial expressions over time</h1>\n\
         <p>An expression is what a face shows; it does not tell what a person feels. \
         Grey, dashed stretches are those in which no label can be trusted.</p>\n"
    );
    for (name, seen) in inputs {
        page += &format!("<section><h2>{}</h2>\n", escape(name));
        match seen {
            Ok(timeline) => page += &input(timeline),
            Err(cause) => page += &format!("<p>Could not be analysed: {}</p>\n", escape(cause)),
        }
        page += "</section>\n";
    }
    page + "</body></html>\n"
}

/// Text for the inside of elements and of quoted attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}

fn input(timeline: &Timeline) -> String {
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
        html += &format!(
            "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Timeline of face {track}\">{}</div>\n",
            plot(face, timeline, &classes, &title)
        );
        html += &tables(face, &classes, timeline.start);
    }
    html
}

/// In the model's order; those of the labels where no decision was made.
fn classes(face: &Face) -> Vec<String> {
    let decided = face.decisions.first().map(|d| &d.probabilities.0);
    decided.map(|all| all.iter().map(|(label, _)| label.to_string()).collect()).unwrap_or_default()
}

fn colour(label: &str, classes: &[String]) -> &'static str {
    let place = classes.iter().position(|class| class == label);
    place.and_then(|k| COLOURS.get(k)).copied().unwrap_or(OTHER)
}

fn legend(classes: &[String]) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for class in classes {
        let colour = colour(class, classes);
        let _ = write!(html, "<li><i style=\"background:{colour}\"></i>{}</li>", escape(class));
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
            Some(label) => format!("fill=\"{}\"", colour(label, classes)),
            None => "class=\"none\"".to_owned(),
        };
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"4\" width=\"{width:.1}\" height=\"36\" {look}><title>{what}</title></rect>"
        );
        // About the width of a letter.
        if width > 8.0 * what.len() as f64 {
            let on = if held(span).is_some() { " class=\"on\"" } else { "" };
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

fn tables(face: &Face, classes: &[String], start: Ns) -> String {
    let at = |t: Ns| seconds(t.saturating_sub(start));
    let mut html = String::from(
        "<details><summary>Labels and statuses as a table</summary><div class=\"wide\" tabindex=\"0\"><table>\
         <tr><th>from</th><th>to</th><th>status</th><th>label</th></tr>\n",
    );
    for span in &face.spans {
        let label = escape(held(span).unwrap_or("none"));
        let (from, to, status) = (at(span.start), at(span.end), span.status);
        let _ = writeln!(
            html,
            "<tr><td>{from}</td><td>{to}</td><td>{status}</td><td>{label}</td></tr>"
        );
    }
    html += "</table></div></details>\n<details><summary>Decisions: agreement, key moments, probabilities</summary>\
             <div class=\"wide\" tabindex=\"0\"><table><tr><th>time</th><th>agreement</th><th>key moments</th>";
    for class in classes {
        let _ = write!(html, "<th>{}</th>", escape(class));
    }
    html += "</tr>\n";
    for decision in &face.decisions {
        let agreement = decision.agreement.map_or("unknown".to_owned(), |a| format!("{a:.3}"));
        let keys: Vec<_> = decision.key_times.iter().map(|t| at(*t)).collect();
        let (t, keys) = (at(decision.t), keys.join(", "));
        let _ = write!(html, "<tr><td>{t}</td><td>{agreement}</td><td>{keys}</td>");
        for (_, p) in &decision.probabilities.0 {
            let _ = write!(html, "<td>{p:.3}</td>");
        }
        html += "</tr>\n";
    }
    html + "</table></div></details>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let name = "<script>alert('x')</script>\"&";
        let page = page(&[(name.to_owned(), Err(name.to_owned()))]);
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
