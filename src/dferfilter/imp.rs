// SPDX-License-Identifier: MPL-2.0

use std::sync::{Arc, LazyLock};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;

use crate::core::Error;
use crate::filter::{BaseImp as DferBase, DferBaseImpl};
use crate::runtime::graph::Backend;
use crate::runtime::tract::Tract;

#[derive(Default)]
pub struct DferFilter;

#[glib::object_subclass]
impl ObjectSubclass for DferFilter {
    const NAME: &'static str = "GstDferFilter";
    type Type = super::DferFilter;
    type ParentType = crate::filter::DferBase;
}

impl ObjectImpl for DferFilter {}
impl GstObjectImpl for DferFilter {}

impl ElementImpl for DferFilter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Facial expression filter",
                "Filter/Analyzer/Video",
                "Recognises facial expressions over time, with the agreement of several clips; runs on the CPU",
                "The gst-plugin-dfer authors",
            )
        });
        Some(&METADATA)
    }
}

impl BaseTransformImpl for DferFilter {
    const MODE: BaseTransformMode = DferBase::MODE;
    const PASSTHROUGH_ON_SAME_CAPS: bool = DferBase::PASSTHROUGH_ON_SAME_CAPS;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = DferBase::TRANSFORM_IP_ON_PASSTHROUGH;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.obj().upcast_ref::<crate::filter::DferBase>().imp().open()
    }
}

impl DferBaseImpl for DferFilter {
    fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        Ok(Arc::new(Tract))
    }
}
