// SPDX-License-Identifier: MPL-2.0

//! ONVIF files against the schema: which children an element may have, in which order, how often,
//! and what its attributes are. Sequences as in ONVIF's `metadatastream.xsd`, `common.xsd` and
//! `humanface.xsd`, as far as they can occur in what we write.

use roxmltree::{Document, Node};

const TT: &str = "http://www.onvif.org/ver10/schema";
const FACE: &str = "http://www.onvif.org/ver20/analytics/humanface";
const OURS: &str = "urn:gst-plugin-dfer:dfer-1";

/// How often a child may come.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    Optional,
    Any,
}

use Times::{Any, Once, Optional};

/// The sequence of an element's children.
fn sequence(name: &str) -> Option<&'static [(&'static str, Times)]> {
    Some(match name {
        "MetadataStream" => &[("VideoAnalytics", Any)],
        "VideoAnalytics" => &[("Frame", Any), ("Extension", Optional)],
        "Frame" => &[
            ("PTZStatus", Optional),
            ("Transformation", Optional),
            ("Object", Any),
            ("ObjectTree", Optional),
            ("Extension", Optional),
        ],
        "Transformation" => {
            &[("Translate", Optional), ("Scale", Optional), ("Extension", Optional)]
        }
        "Object" => &[("Appearance", Optional), ("Behaviour", Optional), ("Extension", Optional)],
        "ObjectTree" => &[
            ("Rename", Any),
            ("Split", Any),
            ("Merge", Any),
            ("Delete", Any),
            ("Extension", Optional),
        ],
        "Appearance" => &[
            ("Transformation", Optional),
            ("Shape", Optional),
            ("Color", Optional),
            ("Class", Optional),
            ("Extension", Optional),
            ("GeoLocation", Optional),
            ("VehicleInfo", Any),
            ("LicensePlateInfo", Optional),
            ("HumanFace", Optional),
            ("HumanBody", Optional),
            ("ImageRef", Optional),
            ("Image", Optional),
            ("BarcodeInfo", Optional),
            ("SphericalCoordinate", Optional),
            ("Label", Any),
        ],
        "Shape" => &[
            ("BoundingBox", Once),
            ("CenterOfGravity", Once),
            ("Polygon", Any),
            ("Extension", Optional),
        ],
        "Class" => &[("ClassCandidate", Any), ("Extension", Optional), ("Type", Any)],
        "Label" => &[("Authority", Once), ("ID", Once)],
        "HumanFace" => &[("Expression", Optional)],
        _ => return None,
    })
}

fn number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn date_time(text: &str) -> bool {
    text.ends_with('Z') && glib::DateTime::from_iso8601(text, None).is_ok()
}

fn integer(text: &str) -> bool {
    text.parse::<i128>().is_ok()
}

/// What an attribute has to be: name, whether it has to be there, its type.
type Attribute = (&'static str, bool, fn(&str) -> bool);

fn attributes(name: &str) -> &'static [Attribute] {
    match name {
        "Frame" => &[("UtcTime", true, date_time), ("Source", false, |_| true)],
        "Object" | "Delete" => &[("ObjectId", false, integer)],
        "BoundingBox" => &[
            ("left", true, number),
            ("top", true, number),
            ("right", true, number),
            ("bottom", true, number),
        ],
        "CenterOfGravity" | "Translate" | "Scale" => &[("x", true, number), ("y", true, number)],
        "Label" | "Type" => &[("Likelihood", false, number)],
        _ => &[],
    }
}

/// Checks an element of ONVIF's and all below it.
fn check(node: Node<'_, '_>) -> Result<(), String> {
    let name = node.tag_name().name();
    let wanted = attributes(name);
    for (attribute, required, valid) in wanted {
        match node.attribute(*attribute) {
            Some(value) if !valid(value) => return Err(format!("{name}@{attribute} is {value:?}")),
            None if *required => return Err(format!("{name}@{attribute} is missing")),
            _ => (),
        }
    }
    if let Some(other) = node.attributes().find(|a| !wanted.iter().any(|(n, ..)| *n == a.name())) {
        return Err(format!("{name}@{} is unknown", other.name()));
    }
    let theirs =
        |child: &Node<'_, '_>| child.is_element() && child.tag_name().namespace() != Some(OURS);
    let children: Vec<_> = node.children().filter(theirs).collect();
    let Some(sequence) = sequence(name) else {
        return match children.first() {
            Some(child) => Err(format!("{name} may not hold {}", child.tag_name().name())),
            None => Ok(()),
        };
    };
    let mut at = 0;
    let mut counts = vec![0; sequence.len()];
    for child in &children {
        let child_name = child.tag_name().name();
        let expected = if child_name == "Expression" { FACE } else { TT };
        if child.tag_name().namespace() != Some(expected) {
            return Err(format!("{child_name} is of the wrong namespace"));
        }
        let place = sequence[at..].iter().position(|(n, _)| *n == child_name);
        at += place.ok_or(format!("{child_name} is out of order in {name}"))?;
        counts[at] += 1;
        check(*child)?;
    }
    for ((child, times), count) in sequence.iter().zip(counts) {
        if (*times == Once && count != 1) || (*times == Optional && count > 1) {
            return Err(format!("{name} has {count} of {child}"));
        }
    }
    // What is ours comes last, where the schema lets anything follow.
    let ours = node.children().filter(Node::is_element).skip_while(theirs);
    match ours.into_iter().find(theirs) {
        Some(child) => Err(format!("{} comes after ours in {name}", child.tag_name().name())),
        None => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), String> {
    let document = Document::parse(text).map_err(|err| err.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "MetadataStream" || root.tag_name().namespace() != Some(TT) {
        return Err("the root is no tt:MetadataStream".to_owned());
    }
    check(root)
}

/// What the recorder writes; a test beside its code compares it with this file.
const STORY: &str = include_str!("../golden/story.onvif.xml");

#[test]
fn what_is_written_is_as_the_schema_says() {
    assert_eq!(check_text(STORY), Ok(()));
    assert!(STORY.contains("fc:Expression") && STORY.contains("tt:Delete"));
    assert!(STORY.matches("<tt:Label").count() > 20);
}

#[test]
fn the_check_finds_what_is_wrong() {
    let broken = |from: &str, to: &str| {
        assert!(STORY.contains(from), "{from}");
        check_text(&STORY.replacen(from, to, 1)).unwrap_err()
    };
    let order = broken(
        "<tt:Class><tt:Type>HumanFace</tt:Type></tt:Class>\n",
        "<tt:HumanBody/><tt:Class><tt:Type>HumanFace</tt:Type></tt:Class>\n",
    );
    assert_eq!(order, "Class is out of order in Appearance");
    assert_eq!(broken("UtcTime=", "Utc="), "Frame@UtcTime is missing");
    assert_eq!(broken("ObjectId=\"1\"", "ObjectId=\"one\""), "Object@ObjectId is \"one\"");
    assert!(broken("tt:Authority>", "tt:Author>").contains("Author"));
    let colour = broken("<tt:Shape>", "<tt:Color/><tt:Shape>");
    assert_eq!(colour, "Shape is out of order in Appearance");
}
