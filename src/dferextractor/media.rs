// SPDX-License-Identifier: MPL-2.0

//! What `meta_src` can carry.

/// A kind of stream, in order of preference where downstream takes everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Utf8,
    Pango,
    Webvtt,
    Onvif,
    Klv,
    Id3,
}

impl Media {
    pub const ALL: [Self; 7] =
        [Self::Json, Self::Utf8, Self::Pango, Self::Webvtt, Self::Onvif, Self::Klv, Self::Id3];

    pub fn caps(self) -> gst::Caps {
        let format = |name, format| gst::Caps::builder(name).field("format", format).build();
        let parsed = |name| gst::Caps::builder(name).field("parsed", true).build();
        match self {
            Self::Json => format("application/x-json", "dfer"),
            Self::Utf8 => format("text/x-raw", "utf8"),
            Self::Pango => format("text/x-raw", "pango-markup"),
            Self::Webvtt => gst::Caps::new_empty_simple("application/x-subtitle-vtt"),
            Self::Onvif => parsed("application/x-onvif-metadata"),
            Self::Klv => parsed("meta/x-klv"),
            Self::Id3 => parsed("meta/x-id3"),
        }
    }

    /// Everything there is.
    pub fn all_caps() -> gst::Caps {
        Self::ALL.into_iter().map(Self::caps).collect()
    }

    /// The one that downstream likes best; `allowed` is in downstream's order.
    pub fn preferred(allowed: &gst::Caps) -> Option<Self> {
        allowed.iter().find_map(|wanted| {
            let takes = |media: &Self| {
                media.caps().structure(0).is_some_and(|own| own.can_intersect(wanted))
            };
            Self::ALL.into_iter().find(takes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downstream_chooses_and_everything_gives_json() {
        gst::init().unwrap();
        let preferred = |caps: &str| Media::preferred(&caps.parse().unwrap());
        assert_eq!(Media::preferred(&Media::all_caps()), Some(Media::Json));
        for media in Media::ALL {
            assert_eq!(Media::preferred(&media.caps()), Some(media));
        }
        assert_eq!(preferred("meta/x-id3, parsed=true; meta/x-klv"), Some(Media::Id3));
        assert_eq!(preferred("subtitle/x-kate; text/x-raw, format=utf8"), Some(Media::Utf8));
        assert_eq!(preferred("text/x-raw, format={pango-markup, utf8}"), Some(Media::Utf8));
        assert_eq!(preferred("application/x-json, format=cea608"), None);
        assert_eq!(preferred("video/x-raw"), None);
    }
}
