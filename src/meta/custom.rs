// SPDX-License-Identifier: MPL-2.0

//! The tagless custom meta that holds the results themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Once};

use super::structure::{self, Malformed};
use super::{Face, FrameResults, Origin};
use crate::core::aggregate;
use crate::core::record::SCHEMA;

/// Name of the meta, as `gst_buffer_get_custom_meta()` takes it.
pub const META_NAME: &str = "DferExpressionMeta";

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dfermeta",
        gst::DebugColorFlags::empty(),
        Some("Facial expression metadata"),
    )
});

pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The plugin and an application may each have this library in them.
        if !gst::meta::CustomMeta::is_registered(META_NAME) {
            gst::meta::CustomMeta::register(META_NAME, &[]);
        }
    });
}

/// What a writing added to other metas of the buffer, by their ids.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Regions of interest.
    pub regions: Vec<i32>,
    /// Parts of the `GstAnalyticsRelationMeta`.
    pub analytics: Vec<u32>,
}

/// Takes off what `stream` wrote earlier.
pub(super) fn remove(buffer: &mut gst::BufferRef, stream: &str) -> Added {
    use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
    use std::ops::ControlFlow::Continue;

    register();
    let mut added = Added::default();
    buffer.foreach_meta_mut(|meta| {
        let Some(custom) = meta.try_as_custom_meta() else { return Continue(Keep) };
        let s = custom.structure();
        if !custom.has_name(META_NAME) || s.get::<&str>("stream") != Ok(stream) {
            return Continue(Keep);
        }
        if let Ok(ids) = s.get::<gst::ArrayRef>("added-regions") {
            added.regions.extend(ids.iter().filter_map(|id| id.get::<i32>().ok()));
        }
        if let Ok(ids) = s.get::<gst::ArrayRef>("added-analytics") {
            added.analytics.extend(ids.iter().filter_map(|id| id.get::<u32>().ok()));
        }
        Continue(Remove)
    });
    added
}

/// `added`: what was made for these results.
pub(super) fn add(buffer: &mut gst::BufferRef, results: &FrameResults, added: &Added) {
    register();
    let mut meta = match gst::meta::CustomMeta::add(buffer, META_NAME) {
        Ok(meta) => meta,
        Err(err) => {
            gst::error!(CAT, "cannot add {META_NAME} to the buffer: {err}");
            return;
        }
    };
    let s = meta.mut_structure();
    s.set("stream", &results.stream);
    s.set("seq", results.seq);
    match &results.counts {
        Some(counts) => structure::set_counts(s, counts),
        None => {
            s.set("schema", SCHEMA);
            let faces = results.faces.iter().map(|f| structure::to_structure(&f.expression));
            s.set("faces", gst::Array::new(faces));
        }
    }
    if results.ignored > 0 {
        s.set("ignored", results.ignored);
    }
    if !added.regions.is_empty() {
        s.set("added-regions", gst::Array::new(added.regions.iter().copied()));
    }
    if !added.analytics.is_empty() {
        s.set("added-analytics", gst::Array::new(added.analytics.iter().copied()));
    }
}

/// The newest results that are as the contract says, their rectangles still unknown.
pub(super) fn read(buffer: &gst::BufferRef) -> Option<FrameResults> {
    let mut newest = None;
    for meta in buffer.iter_meta::<gst::Meta>() {
        let Some(custom) = meta.try_as_custom_meta() else { continue };
        if custom.has_name(META_NAME) {
            match parse(custom.structure()) {
                Ok(results) => newest = Some(results),
                Err(err) => refuse(&err),
            }
        }
    }
    newest
}

/// Ids of the regions of interest that results of streams other than `stream` are joined with.
pub(super) fn foreign(buffer: &gst::BufferRef, stream: &str) -> Vec<u64> {
    let metas = buffer.iter_meta::<gst::Meta>();
    let custom = metas.filter_map(|meta| {
        let custom = meta.try_as_custom_meta().filter(|c| c.has_name(META_NAME))?;
        parse(custom.structure()).ok().filter(|results| results.stream != stream)
    });
    custom.flat_map(|results| results.faces).filter_map(|face| face.expression.track_id).collect()
}

fn parse(s: &gst::StructureRef) -> Result<FrameResults, Malformed> {
    let missing = |name| move || Malformed::new(name, "is missing");
    let schema: &str = structure::field(s, "schema")?.ok_or_else(missing("schema"))?;
    let mut results = FrameResults {
        stream: structure::field(s, "stream")?.ok_or_else(missing("stream"))?,
        seq: structure::field(s, "seq")?.ok_or_else(missing("seq"))?,
        ignored: structure::field(s, "ignored")?.unwrap_or(0),
        ..FrameResults::default()
    };
    if schema == aggregate::SCHEMA {
        results.counts = Some(structure::counts(s)?);
        return Ok(results);
    }
    if schema != SCHEMA {
        return Err(Malformed::new(
            "schema",
            format!("{schema:?} is not {SCHEMA}, which this version reads"),
        ));
    }
    let faces: gst::ArrayRef = structure::field(s, "faces")?.ok_or_else(missing("faces"))?;
    let face = |value: &glib::SendValue| {
        let s = value.get::<&gst::StructureRef>().map_err(|err| Malformed::new("faces", err))?;
        let expression = structure::from_structure(s)?;
        Ok(Face { rect: None, origin: Origin::default(), expression })
    };
    results.faces = faces.iter().map(face).collect::<Result<_, _>>()?;
    Ok(results)
}

/// One warning for each kind: a stream brings the same fault with every buffer.
fn refuse(err: &Malformed) {
    static NEWER: AtomicBool = AtomicBool::new(false);
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let told = if err.field == "schema" { &NEWER } else { &BROKEN };
    if told.swap(true, Ordering::Relaxed) {
        gst::debug!(CAT, "ignored {META_NAME}: {err}");
    } else {
        gst::warning!(CAT, "ignored {META_NAME}: {err} (said once; further ones are debug lines)");
    }
}
