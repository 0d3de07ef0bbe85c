// SPDX-License-Identifier: MPL-2.0

use std::sync::{LazyLock, Mutex};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as COMPOSITION, VideoFrameRef,
    VideoOverlayComposition, VideoOverlayCompositionMeta,
};

use super::card::Font;
use super::painter::{Look, Painter};
use super::scene::{Scene, Settings};
use super::style::Sizes;
use super::{Anonymize, anonymize};
use crate::core::Rect;
use crate::meta::{self, FrameResults};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dferoverlay",
        gst::DebugColorFlags::empty(),
        Some("Facial expression overlay"),
    )
});

/// Exists between the first caps and `stop()`.
struct State {
    info: gst_video::VideoInfo,
    /// What downstream was sent.
    caps: gst::Caps,
    /// Whether compositions are attached instead of blended; `None` until downstream was asked.
    attach: Option<bool>,
    painter: Painter,
    bad_frame_reported: bool,
}

#[derive(Default)]
pub struct DferOverlay {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
}

#[glib::object_subclass]
impl ObjectSubclass for DferOverlay {
    const NAME: &'static str = "GstDferOverlay";
    type Type = super::DferOverlay;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for DferOverlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            let flag = |name, nick, blurb, value| {
                glib::ParamSpecBoolean::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .default_value(value)
                    .mutable_playing()
                    .build()
            };
            let pixels = |name, nick, blurb, most, value| {
                glib::ParamSpecDouble::builder(name)
                    .nick(nick)
                    .blurb(blurb)
                    .minimum(0.0)
                    .maximum(most)
                    .default_value(value)
                    .mutable_playing()
                    .build()
            };
            vec![
                flag("draw-box", "Draw box", "Outline every face", default.draw_box),
                flag(
                    "draw-label",
                    "Draw label",
                    "Write track id, label and probability, or why there is no label",
                    default.draw_label,
                ),
                flag(
                    "draw-agreement",
                    "Draw agreement",
                    "Show how far the clips of a face agree, as a bar and in percent",
                    default.draw_agreement,
                ),
                flag(
                    "draw-probabilities",
                    "Draw probabilities",
                    "Show the probability of every class as a bar",
                    default.draw_probabilities,
                ),
                glib::ParamSpecEnum::builder_with_default("show", default.show)
                    .nick("Show")
                    .blurb("Which faces are drawn")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("font")
                    .nick("Font")
                    .blurb("Pango font description without a size, as \"Sans\" or \"Noto Sans Condensed\"")
                    .default_value(Some(default.font.as_str()))
                    .mutable_playing()
                    .build(),
                pixels(
                    "font-size",
                    "Font size",
                    "Height of the text in pixels of the frame, 0 = by the height of the frame",
                    500.0,
                    default.font_size,
                ),
                pixels(
                    "line-width",
                    "Line width",
                    "Width of the outlines in pixels of the frame, 0 = by the height of the frame",
                    100.0,
                    default.line_width,
                ),
                glib::ParamSpecEnum::builder_with_default("anonymize", default.anonymize)
                    .nick("Anonymize")
                    .blurb("Make faces unrecognisable in the picture itself: every face that is marked or reported \
                            of, whatever its result, also doubtful ones and those beyond max-faces, with a margin of 15 % on each side; the whole frame where a face has lost \
                            its place")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecString::builder("disclosure")
                    .nick("Disclosure")
                    .blurb("Text at the bottom of the picture that tells people what is going on; none = no text")
                    .default_value(default.disclosure.as_deref())
                    .mutable_playing()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        // GLib has checked name and type.
        let mut settings = self.settings.lock().unwrap();
        match pspec.name() {
            "draw-box" => settings.draw_box = value.get().unwrap(),
            "draw-label" => settings.draw_label = value.get().unwrap(),
            "draw-agreement" => settings.draw_agreement = value.get().unwrap(),
            "draw-probabilities" => settings.draw_probabilities = value.get().unwrap(),
            "show" => settings.show = value.get().unwrap(),
            "font" => {
                let font: Option<String> = value.get().unwrap();
                settings.font = font.unwrap_or_else(|| Settings::default().font);
            }
            "font-size" => settings.font_size = value.get().unwrap(),
            "line-width" => settings.line_width = value.get().unwrap(),
            "anonymize" => settings.anonymize = value.get().unwrap(),
            "disclosure" => settings.disclosure = value.get().unwrap(),
            _ => unreachable!(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings.lock().unwrap();
        match pspec.name() {
            "draw-box" => settings.draw_box.to_value(),
            "draw-label" => settings.draw_label.to_value(),
            "draw-agreement" => settings.draw_agreement.to_value(),
            "draw-probabilities" => settings.draw_probabilities.to_value(),
            "show" => settings.show.to_value(),
            "font" => settings.font.to_value(),
            "font-size" => settings.font_size.to_value(),
            "line-width" => settings.line_width.to_value(),
            "anonymize" => settings.anonymize.to_value(),
            "disclosure" => settings.disclosure.to_value(),
            _ => unreachable!(),
        }
    }
}

impl GstObjectImpl for DferOverlay {}

impl ElementImpl for DferOverlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Facial expression overlay",
                "Filter/Editor/Video",
                "Draws the facial expressions that dferfilter recognised, and anonymises faces on request",
                env!("CARGO_PKG_NAME"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let formats =
                gst_video::VideoFormat::iter_raw().filter(|f| anonymize::is_supported(*f));
            let mut caps = gst_video::VideoCapsBuilder::new().format_list(formats).build();
            let with = with_composition(&caps, true);
            caps.merge(with);
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, direction)| {
                    // Cannot fail: neither name nor caps depend on anything.
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BaseTransformImpl for DferOverlay {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.state.lock().unwrap() = None;
        Ok(())
    }

    /// Compositions may come and go here; the rest of the caps stays. Downstream of us they are
    /// preferred.
    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let (mut result, other) = match direction {
            gst::PadDirection::Sink => {
                (with_composition(caps, true), with_composition(caps, false))
            }
            _ => (with_composition(caps, false), with_composition(caps, true)),
        };
        result.merge(other);
        Some(match filter {
            Some(filter) => filter.intersect_with_mode(&result, gst::CapsIntersectMode::First),
            None => result,
        })
    }

    fn set_caps(&self, _incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(outcaps)
            .map_err(|_| gst::loggable_error!(CAT, "caps that are no raw video: {outcaps}"))?;
        *self.state.lock().unwrap() = Some(State {
            info,
            caps: outcaps.clone(),
            attach: None,
            painter: Painter::default(),
            bad_frame_reported: false,
        });
        Ok(())
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure
            && let Some(state) = self.state.lock().unwrap().as_mut()
        {
            state.attach = None;
        }
        self.parent_src_event(event)
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        Ok(())
    }

    fn transform_ip(
        &self,
        buffer: &mut gst::BufferRef,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = self.settings.lock().unwrap().clone();
        self.ask_downstream();
        let mut state = self.state.lock().unwrap();
        let state = state.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
        let results = meta::read(buffer);
        if settings.anonymize != Anonymize::None {
            self.anonymize(buffer, &state.info, results.as_ref(), settings.anonymize)?;
        }
        let (width, height) = (state.info.width(), state.info.height());
        let scene = Scene::new(results.as_ref(), &settings, width, height);
        let sizes = Sizes::new(height, settings.font_size, settings.line_width);
        let look = Look {
            font: Font { name: settings.font, sizes },
            draw_box: settings.draw_box,
            frame: (width, height),
        };
        let drawing = state.painter.paint(scene, &look).map_err(|err| {
            gst::element_imp_error!(
                self,
                gst::LibraryError::Failed,
                ("cannot draw the overlay: {err}")
            );
            gst::FlowError::Error
        })?;
        if state.attach == Some(true) {
            if let Some(drawing) = drawing {
                attach(buffer, drawing);
            }
            return Ok(gst::FlowSuccess::Ok);
        }
        let upstream = buffer.iter_meta::<VideoOverlayCompositionMeta>().map(|m| m.overlay_owned());
        let drawings: Vec<_> = upstream.chain(drawing.cloned()).collect();
        if !drawings.is_empty() {
            self.blend(buffer, &state.info, &drawings, &mut state.bad_frame_reported);
        }
        Ok(gst::FlowSuccess::Ok)
    }
}

impl DferOverlay {
    /// Finds out whether compositions can be attached, once after every negotiation. (The base
    /// class does not ask for the allocation of elements that work in place.)
    fn ask_downstream(&self) {
        let caps = match &*self.state.lock().unwrap() {
            Some(State { caps, attach: None, .. }) => caps.clone(),
            _ => return,
        };
        let attach = caps.features(0).is_some_and(|f| f.contains(COMPOSITION)) && {
            let mut query = gst::query::Allocation::new(Some(&caps), false);
            self.obj().src_pad().peer_query(&mut query)
                && query.find_allocation_meta::<VideoOverlayCompositionMeta>().is_some()
        };
        gst::debug!(CAT, imp = self, "{}", if attach { "attaching" } else { "blending" });
        if let Some(state) = self.state.lock().unwrap().as_mut() {
            state.attach = Some(attach);
        }
    }

    fn anonymize(
        &self,
        buffer: &mut gst::BufferRef,
        info: &gst_video::VideoInfo,
        results: Option<&FrameResults>,
        how: Anonymize,
    ) -> Result<(), gst::FlowError> {
        // Regions of interest of other streams and of faces without a result count as well.
        let mut faces = meta::places(buffer);
        if results.is_some_and(|r| r.faces.iter().any(|f| f.rect.is_none())) {
            faces = vec![Rect::new(0.0, 0.0, info.width() as f32, info.height() as f32)];
        }
        let step = anonymize::step(&info.format_info());
        let areas = anonymize::areas(&faces, info.width() as usize, info.height() as usize, step);
        if !areas.is_empty() {
            anonymize::apply(&mut self.map(buffer, info)?, &areas, how);
        }
        Ok(())
    }

    /// Blends into the picture, and takes off what upstream had attached.
    fn blend(
        &self,
        buffer: &mut gst::BufferRef,
        info: &gst_video::VideoInfo,
        drawings: &[VideoOverlayComposition],
        bad_frame_reported: &mut bool,
    ) {
        while let Some(meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() {
            if meta.remove().is_err() {
                break;
            }
        }
        let size = buffer.size();
        let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(buffer, info) else {
            if !std::mem::replace(bad_frame_reported, true) {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    ["nothing can be drawn on a buffer of {size} bytes"]
                );
            }
            return;
        };
        for drawing in drawings {
            if let Err(err) = drawing.blend(&mut frame) {
                gst::warning!(CAT, imp = self, "cannot blend into {:?}: {err}", info.format());
            }
        }
    }

    fn map<'a>(
        &self,
        buffer: &'a mut gst::BufferRef,
        info: &gst_video::VideoInfo,
    ) -> Result<VideoFrameRef<&'a mut gst::BufferRef>, gst::FlowError> {
        VideoFrameRef::from_buffer_ref_writable(buffer, info).map_err(|_| {
            gst::element_imp_error!(
                self,
                gst::ResourceError::OpenReadWrite,
                (
                    "cannot map a buffer as {} {}x{}",
                    info.format().to_str(),
                    info.width(),
                    info.height()
                )
            );
            gst::FlowError::Error
        })
    }
}

/// Adds a drawing to what upstream may have attached.
fn attach(buffer: &mut gst::BufferRef, drawing: &VideoOverlayComposition) {
    if let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() {
        let both: VideoOverlayComposition = meta.overlay().iter().chain(drawing.iter()).collect();
        meta.set_overlay(&both);
    } else {
        VideoOverlayCompositionMeta::add(buffer, drawing);
    }
}

/// The same caps with or without compositions.
fn with_composition(caps: &gst::Caps, with: bool) -> gst::Caps {
    let changed = caps.iter_with_features().map(|(s, features)| {
        let mut features = features.to_owned();
        if features.contains(COMPOSITION) != with && !features.is_any() {
            if with {
                features.add(COMPOSITION);
            } else {
                features.remove(COMPOSITION);
            }
        }
        (s.to_owned(), features)
    });
    changed.collect()
}
