// SPDX-License-Identifier: MPL-2.0

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;

use super::{ExecutionProvider, NetworkPrecision};
use crate::core::Error;
use crate::filter::{BaseImp as DferBase, DferBaseImpl};
use crate::runtime::graph::Backend;
use crate::runtime::onnxruntime::{OnnxRuntime, Settings};

/// Values of the properties, which hold from the next start on.
struct Properties {
    provider: ExecutionProvider,
    precision: NetworkPrecision,
    library: Option<String>,
    engine_cache: Option<String>,
    device: u32,
    max_batch: u32,
    batch_timeout: u64,
    allow_cpu: bool,
}

impl Default for Properties {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            provider: ExecutionProvider::default(),
            precision: NetworkPrecision::default(),
            library: None,
            engine_cache: None,
            device: settings.device,
            max_batch: settings.max_batch as u32,
            batch_timeout: settings.batch_timeout.as_nanos() as u64,
            allow_cpu: settings.allow_cpu,
        }
    }
}

impl Properties {
    fn settings(&self) -> Settings {
        let path = |text: &Option<String>| {
            text.as_ref().filter(|text| !text.is_empty()).map(PathBuf::from)
        };
        Settings {
            library: path(&self.library),
            provider: self.provider.chosen(),
            allow_cpu: self.allow_cpu,
            device: self.device,
            precision: self.precision.into(),
            engine_cache: path(&self.engine_cache),
            max_batch: self.max_batch as usize,
            batch_timeout: Duration::from_nanos(self.batch_timeout),
        }
    }
}

#[derive(Default)]
pub struct DferTrtFilter {
    properties: Mutex<Properties>,
}

impl DferTrtFilter {
    fn lock(&self) -> MutexGuard<'_, Properties> {
        self.properties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for DferTrtFilter {
    const NAME: &'static str = "GstDferTrtFilter";
    type Type = super::DferTrtFilter;
    type ParentType = crate::filter::DferBase;
}

impl ObjectImpl for DferTrtFilter {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let d = Properties::default();
            vec![
                glib::ParamSpecEnum::builder_with_default("execution-provider", d.provider)
                    .nick("Execution provider")
                    .blurb("What ONNX Runtime runs the networks with")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("device-id")
                    .nick("Device")
                    .blurb("Number of the GPU, as CUDA counts them")
                    .maximum(i32::MAX as u32)
                    .default_value(d.device)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("precision", d.precision)
                    .nick("Precision")
                    .blurb("What the networks compute in; fp16 is for TensorRT")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("engine-cache")
                    .nick("Engine cache")
                    .blurb(
                        "Folder where built engines are kept; none = gst-plugin-dfer/engines in \
                         the user's cache folder",
                    )
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("max-batch")
                    .nick("Maximum batch")
                    .blurb("Faces in one run at most, over all streams that share the networks")
                    .minimum(1)
                    .maximum(256)
                    .default_value(d.max_batch)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt64::builder("batch-timeout")
                    .nick("Batch timeout")
                    .blurb("Time in nanoseconds that a face may wait for those of other streams")
                    .maximum(1_000_000_000)
                    .default_value(d.batch_timeout)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecBoolean::builder("allow-cpu")
                    .nick("Allow CPU")
                    .blurb("Run on the CPU when no GPU works, instead of failing")
                    .default_value(d.allow_cpu)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("library")
                    .nick("Library")
                    .blurb(
                        "ONNX Runtime's library, its folder or a virtual environment; none = \
                         ORT_DYLIB_PATH or the usual places",
                    )
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        fn get<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> T {
            // GLib has checked the type and the range.
            value.get().expect("type checked upstream")
        }
        let mut p = self.lock();
        match pspec.name() {
            "execution-provider" => p.provider = get(value),
            "device-id" => p.device = get(value),
            "precision" => p.precision = get(value),
            "engine-cache" => p.engine_cache = get(value),
            "max-batch" => p.max_batch = get(value),
            "batch-timeout" => p.batch_timeout = get(value),
            "allow-cpu" => p.allow_cpu = get(value),
            "library" => p.library = get(value),
            _ => unreachable!("no such property"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let p = self.lock();
        match pspec.name() {
            "execution-provider" => p.provider.to_value(),
            "device-id" => p.device.to_value(),
            "precision" => p.precision.to_value(),
            "engine-cache" => p.engine_cache.to_value(),
            "max-batch" => p.max_batch.to_value(),
            "batch-timeout" => p.batch_timeout.to_value(),
            "allow-cpu" => p.allow_cpu.to_value(),
            "library" => p.library.to_value(),
            _ => unreachable!("no such property"),
        }
    }
}

impl GstObjectImpl for DferTrtFilter {}

impl ElementImpl for DferTrtFilter {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Facial expression filter (TensorRT)",
                "Filter/Analyzer/Video/Hardware",
                "Recognises facial expressions over time, with the agreement of several clips; runs on NVIDIA GPUs",
                "The gst-plugin-dfer authors",
            )
        });
        Some(&METADATA)
    }
}

impl BaseTransformImpl for DferTrtFilter {
    const MODE: BaseTransformMode = DferBase::MODE;
    const PASSTHROUGH_ON_SAME_CAPS: bool = DferBase::PASSTHROUGH_ON_SAME_CAPS;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = DferBase::TRANSFORM_IP_ON_PASSTHROUGH;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.obj().upcast_ref::<crate::filter::DferBase>().imp().open()
    }
}

impl DferBaseImpl for DferTrtFilter {
    fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        let settings = self.lock().settings();
        Ok(OnnxRuntime::open(&settings)?)
    }
}
