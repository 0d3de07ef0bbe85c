// SPDX-License-Identifier: MPL-2.0

//! The tagless custom meta that holds the results themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Once};

use super::structure::{self, Malformed};
use super::{Face, FrameResults};
use crate::core::record::SCHEMA;

/// Name of the meta, as `gst_buffer_get_custom_meta()` takes it.
pub const META_NAME: &str = "DferExpressionMeta";

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
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

/// Takes off what `stream` wrote earlier; the ids of the regions of interest it had added.
pub(super) fn remove(buffer: &mut gst::BufferRef, stream: &str) -> Vec<i32> {
    use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
    use std::ops::ControlFlow::Continue;

    register();
    let mut added = Vec::new();
    buffer.foreach_meta_mut(|meta| {
        let Some(custom) = meta.try_as_custom_meta() else { return Continue(Keep) };
        let s = custom.structure();
        if !custom.has_name(META_NAME) || s.get::<&str>("stream") != Ok(stream) {
            return Continue(Keep);
        }
        if let Ok(ids) = s.get::<gst::ArrayRef>("added-regions") {
            added.extend(ids.iter().filter_map(|id| id.get::<i32>().ok()));
        }
        Continue(Remove)
    });
    added
}

/// `added`: ids of the regions of interest that were made for these results.
pub(super) fn add(buffer: &mut gst::BufferRef, results: &FrameResults, added: &[i32]) {
    register();
    let mut meta = match gst::meta::CustomMeta::add(buffer, META_NAME) {
        Ok(meta) => meta,
        Err(err) => {
            gst::error!(CAT, "cannot add {META_NAME} to the buffer: {err}");
            return;
        }
    };
    let s = meta.mut_structure();
    s.set("schema", SCHEMA);
    s.set("stream", &results.stream);
    s.set("seq", results.seq);
    let faces = results.faces.iter().map(|f| structure::to_structure(&f.expression));
    s.set("faces", gst::Array::new(faces));
    if results.ignored > 0 {
        s.set("ignored", results.ignored);
    }
    if !added.is_empty() {
        s.set("added-regions", gst::Array::new(added.iter().copied()));
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
    if schema != SCHEMA {
        return Err(Malformed::new(
            "schema",
            format!("{schema:?} is not {SCHEMA}, which this version reads"),
        ));
    }
    let faces: gst::ArrayRef = structure::field(s, "faces")?.ok_or_else(missing("faces"))?;
    let face = |value: &glib::SendValue| {
        let s = value.get::<&gst::StructureRef>().map_err(|err| Malformed::new("faces", err))?;
        Ok(Face { rect: None, roi: None, expression: structure::from_structure(s)? })
    };
    Ok(FrameResults {
        stream: structure::field(s, "stream")?.ok_or_else(missing("stream"))?,
        seq: structure::field(s, "seq")?.ok_or_else(missing("seq"))?,
        faces: faces.iter().map(face).collect::<Result<_, _>>()?,
        ignored: structure::field(s, "ignored")?.unwrap_or(0),
    })
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
