// SPDX-License-Identifier: MPL-2.0

//! Pages for people: one file each that needs neither network nor script. Behind every plot there
//! is a table that says the same. Pictures of faces are there only where they are asked for.

pub mod audit;
pub mod timeline;

use std::fmt::Write;

/// A picture and what is written under it.
pub struct Shot {
    /// As a `data:` address.
    pub picture: String,
    pub text: String,
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #bbb; --faint: #eee; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eee; --paper: #16181b; --line: #555; --faint: #2a2d31; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
svg { display: block; width: 100%; min-width: 40rem; }
svg text { fill: var(--ink); font-size: 13px; }
svg .on { fill: #000; }
svg .on-dark { fill: #fff; }
svg .grid { stroke: var(--line); }
svg .agreement { fill: none; stroke: var(--ink); stroke-width: 2; }
svg .key { stroke: var(--ink); stroke-width: 1.5; }
svg .limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 6 4; }
svg .none { fill: var(--faint); stroke: var(--line); stroke-dasharray: 4 3; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; padding: .2rem 0; }
th, td { border: 1px solid var(--line); padding: .15rem .5rem; text-align: left;
  vertical-align: top; }
td.name { overflow-wrap: anywhere; min-width: 10rem; }
td.number { text-align: right; }
summary { cursor: pointer; padding: .2rem 0; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 1em; height: 1em; margin-right: .4em;
  vertical-align: -.1em; border: 1px solid var(--line); }
.shots { display: flex; flex-wrap: wrap; gap: .5rem; }
.shots figure { margin: 0; }
.shots img { display: block; height: 6rem; }
.shots figcaption { font-size: .8rem; }
";

/// A whole page; `body` is markup.
fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n\
         <h1>{title}</h1>\n{body}</main></body></html>\n"
    )
}

/// Text for the inside of elements and of quoted attributes.
fn escape(text: &str) -> String {
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

/// Wide content with a name, scrolled within its place, by keyboard too.
fn scroll(name: &str, content: &str) -> String {
    let name = escape(name);
    format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{name}\">{content}</div>\n"
    )
}

/// Content on demand.
fn details(summary: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>{content}</details>\n", escape(summary))
}

/// A strip of pictures.
fn shots(all: &[Shot]) -> String {
    let mut html = String::from("<div class=\"shots\">");
    for Shot { picture, text } in all {
        let text = escape(text);
        let _ = write!(
            html,
            "<figure><img src=\"{}\" alt=\"Face: {text}\"><figcaption>{text}</figcaption></figure>",
            escape(picture)
        );
    }
    html + "</div>\n"
}
