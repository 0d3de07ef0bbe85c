// SPDX-License-Identifier: MPL-2.0

//! ONVIF metadata stream (`metadatastream.xsd`): one `Frame` for each analysed frame, one
//! `Object` for each face. Classes are `Label`s, likeliest first, with the authority
//! [`AUTHORITY`]; the first one also holds status and agreement in a namespace of ours.

use std::fmt::Write;

use super::super::clock;
use super::{Format, Frame, escaped};
use crate::core::record::Record;
use crate::core::result::{Expression, Status, round4};

/// Who defines the classes.
const AUTHORITY: &str = "urn:gst-plugin-dfer:classes";

const HEADER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:fc="http://www.onvif.org/ver20/analytics/humanface" xmlns:df="urn:gst-plugin-dfer:dfer-1">
<tt:VideoAnalytics>
"#;

pub(crate) struct Onvif {
    /// Whether to add ONVIF's own, coarser classes.
    coarse: bool,
}

impl Onvif {
    pub fn new(coarse: bool) -> Self {
        Self { coarse }
    }
}

impl Format for Onvif {
    fn header(&self) -> String {
        HEADER.to_owned()
    }

    fn footer(&self) -> &'static str {
        "</tt:VideoAnalytics>\n</tt:MetadataStream>\n"
    }

    fn frame(&mut self, frame: &Frame, out: &mut String) {
        let chosen = &frame.selected.chosen;
        let Some(first) = chosen.first() else { return };
        // UtcTime has to be there; without a known time it counts from 1970, as nothing else would.
        let utc = frame.unix.unwrap_or(i128::from(frame.now.unwrap_or(0)));
        let utc = clock::rfc3339(utc).unwrap_or_default();
        *out += &format!("<tt:Frame UtcTime=\"{utc}\" Source=\"{}\">\n", quoted(&first.stream));
        *out += &transformation(first.frame);
        let (left, here): (Vec<_>, Vec<_>) =
            chosen.iter().partition(|r| r.expression.status == Status::NoFace);
        for record in here {
            self.object(record, out);
        }
        let deleted: Vec<_> = left.iter().filter_map(|r| r.expression.track_id).collect();
        if !deleted.is_empty() {
            *out += "<tt:ObjectTree>";
            for id in deleted {
                let _ = write!(out, "<tt:Delete ObjectId=\"{id}\"/>");
            }
            *out += "</tt:ObjectTree>\n";
        }
        *out += "</tt:Frame>\n";
    }
}

impl Onvif {
    fn object(&self, record: &Record, out: &mut String) {
        let e = &record.expression;
        let id = e.track_id.map_or(String::new(), |id| format!(" ObjectId=\"{id}\""));
        *out += &format!("<tt:Object{id}><tt:Appearance>\n");
        if let Some([x, y, w, h]) = record.bounds {
            let (right, bottom) = (x + w, y + h);
            let (cx, cy) = (f64::from(x) + f64::from(w) / 2.0, f64::from(y) + f64::from(h) / 2.0);
            *out += &format!(
                "<tt:Shape><tt:BoundingBox left=\"{x}\" top=\"{y}\" right=\"{right}\" bottom=\"{bottom}\"/>\
                 <tt:CenterOfGravity x=\"{cx}\" y=\"{cy}\"/></tt:Shape>\n"
            );
        }
        *out += "<tt:Class><tt:Type>HumanFace</tt:Type></tt:Class>\n";
        let label = e.label.as_deref().filter(|_| e.status == Status::Stable);
        if let Some(coarse) = label.and_then(coarse).filter(|_| self.coarse) {
            *out +=
                &format!("<tt:HumanFace><fc:Expression>{coarse}</fc:Expression></tt:HumanFace>\n");
        }
        labels(e, out);
        *out += "</tt:Appearance></tt:Object>\n";
    }
}

/// From pixels, y down, to ONVIF's square from -1 to 1, y up.
fn transformation([w, h]: [u32; 2]) -> String {
    let scale = |v: u32| 2.0 / f64::from(v.max(1));
    format!(
        "<tt:Transformation><tt:Translate x=\"-1\" y=\"1\"/><tt:Scale x=\"{:.8}\" y=\"{:.8}\"/></tt:Transformation>\n",
        scale(w),
        -scale(h)
    )
}

fn labels(e: &Expression, out: &mut String) {
    let mut classes = e.probabilities.as_ref().map(|p| p.0.clone()).unwrap_or_default();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (i, (label, p)) in classes.iter().enumerate() {
        let (p, label) = (round4(*p), quoted(label));
        *out += &format!(
            "<tt:Label Likelihood=\"{p}\"><tt:Authority>{AUTHORITY}</tt:Authority><tt:ID>{label}</tt:ID>"
        );
        if i == 0 {
            *out += &format!("<df:Status>{}</df:Status>", e.status);
            if let Some(agreement) = e.agreement {
                let attribute =
                    |name, v: Option<u32>| v.map_or(String::new(), |v| format!(" {name}=\"{v}\""));
                let (clips, votes) = (attribute("clips", e.clips), attribute("votes", e.votes));
                *out +=
                    &format!("<df:Agreement{clips}{votes}>{}</df:Agreement>", round4(agreement));
            }
        }
        *out += "</tt:Label>\n";
    }
}

/// ONVIF's own word for a class; it has but six, so this loses detail.
fn coarse(label: &str) -> Option<&'static str> {
    Some(match label {
        "neutral" => "Natural",
        "happy" => "Smile",
        "surprise" => "RaisedEyebrows",
        "angry" => "Frown",
        "sad" | "disgust" | "fear" => "Other",
        _ => return None,
    })
}

/// Text for an attribute.
fn quoted(text: &str) -> String {
    escaped(text).replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    /// Children of an `Appearance` in the order in which the schema wants them.
    const ORDER: [&str; 4] = ["<tt:Shape", "<tt:Class", "<tt:HumanFace", "<tt:Label"];

    #[test]
    fn elements_come_in_the_order_of_the_schema() {
        let text = super::super::tests::file(super::Onvif::new(true));
        let mut appearances = 0;
        for appearance in text.split("<tt:Appearance>").skip(1) {
            let body = appearance.split("</tt:Appearance>").next().unwrap();
            let positions: Vec<_> = ORDER.iter().filter_map(|tag| body.find(tag)).collect();
            assert!(positions.is_sorted(), "{body}");
            appearances += 1;
        }
        assert_eq!(appearances, 8);
        assert!(text.contains("<fc:Expression>Smile</fc:Expression>"));
        for tag in ["tt:Frame", "tt:Object", "tt:Appearance", "tt:Label", "tt:VideoAnalytics"] {
            let opened = text.matches(&format!("<{tag} ")).count()
                + text.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
