// SPDX-License-Identifier: MPL-2.0

//! What `dferfilter` and `dfertrtfilter` share: an abstract element that is complete but for the
//! runtime that its networks are run by.

mod errors;
mod frame;
mod imp;
mod message;
mod report;
mod session;
mod settings;
mod stats;

use std::sync::Arc;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;

use crate::core::Error;
use crate::core::analyst::Networks;
use crate::runtime::graph::Backend;

pub(crate) use imp::DferBase as BaseImp;
pub use message::{AGGREGATE_MESSAGE, MESSAGE};

glib::wrapper! {
    /// The abstract base, GType `GstDferBase`.
    pub struct DferBase(ObjectSubclass<imp::DferBase>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// When inference happens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferMode")]
pub enum Mode {
    #[default]
    #[enum_value(name = "Auto: live when upstream is live, else sync", nick = "auto")]
    Auto,
    #[enum_value(
        name = "Live: on a thread of its own; no latency, every buffer carries the newest result and its age",
        nick = "live"
    )]
    Live,
    #[enum_value(
        name = "Sync: in line; every result on the exact buffer, the same for every run",
        nick = "sync"
    )]
    Sync,
}

/// Where faces come from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, glib::Enum)]
#[repr(i32)]
#[enum_type(name = "GstDferFaceSource")]
pub enum FaceSource {
    #[default]
    #[enum_value(
        name = "Auto: upstream's faces where there are any, else the detector",
        nick = "auto"
    )]
    Auto,
    #[enum_value(
        name = "Upstream: region-of-interest metas of type face; object detections too, where built with v1_24",
        nick = "upstream"
    )]
    Upstream,
    #[enum_value(name = "Detector: the detector network", nick = "detector")]
    Detector,
    #[enum_value(name = "Frame: the whole frame is one face", nick = "frame")]
    Frame,
}

/// What a concrete filter adds.
pub trait DferBaseImpl: BaseTransformImpl + ObjectSubclass<Type: IsA<DferBase>> {
    /// The runtime for the networks, ready for use.
    ///
    /// # Errors
    /// When it is not usable on this machine; posted on the bus as it is.
    fn backend(&self) -> Result<Arc<dyn Backend>, Error>;
}

unsafe impl<T: DferBaseImpl> IsSubclassable<T> for DferBase {
    fn class_init(class: &mut glib::Class<Self>) {
        Self::parent_class_init::<T>(class);
        class.as_mut().backend = |object| match object.dynamic_cast_ref::<T::Type>() {
            Some(object) => object.imp().backend(),
            None => unreachable!("the class belongs to this type"),
        };
    }
}

/// For applications in Rust.
pub trait DferBaseExt: IsA<DferBase> {
    /// Uses these networks in place of model files, from the next start on; `None` ends that.
    fn set_networks(&self, networks: Option<Networks>) {
        self.upcast_ref::<DferBase>().imp().set_networks(networks);
    }
}

impl<T: IsA<DferBase>> DferBaseExt for T {}
