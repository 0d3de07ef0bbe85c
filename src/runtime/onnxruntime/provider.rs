// SPDX-License-Identifier: MPL-2.0

//! Execution providers: "compiled with" is not "usable", so each is set up by itself, tried on a
//! small graph, and its failure kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::device::Device;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{CUDA, ExecutionProvider, TensorRT};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::device::{self, Gpu};
use super::library::{self, Runtime};
use super::session::Loaded;
use super::settings::{Precision, Provider, Settings};
use super::{guarded, shortened};

/// A convolution of ones: in the middle of a picture of ones it answers 9.
const PROBE: &[u8] = include_bytes!("probe.onnx");

/// The TensorRT-RTX provider, in NVIDIA's package of that name.
const RTX_PLUGIN: &str = "libonnxruntime_providers_nv_tensorrt_rtx.so";
const RTX_PACKAGE: &str = "onnxruntime_ep_nv_tensorrt_rtx";
const RTX_NAME: &str = "NvTensorRTRTXExecutionProvider";
const CPU_NAME: &str = "CPUExecutionProvider";

/// Said by ONNX Runtime when a provider leaves nodes to the CPU.
const LEFT_OVER: &str = "fallback to CPU EP has been explicitly disabled";

/// A provider that was tried and works.
#[derive(Debug, Clone)]
pub struct Usable {
    pub provider: Provider,
    /// `None` for the CPU.
    pub gpu: Option<Gpu>,
    /// Number of the GPU.
    pub number: u32,
}

impl Usable {
    /// For people.
    pub fn device(&self) -> String {
        match &self.gpu {
            Some(gpu) => format!("{} ({})", gpu.name, self.number),
            None => "CPU".to_owned(),
        }
    }
}

/// What one graph needs of its provider.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Smallest and largest shapes as `name:1x2x3,...`; `None` when all shapes are fixed.
    pub profile: Option<(String, String)>,
    /// Where built engines are read and written.
    pub cache: Option<PathBuf>,
    /// Free dimensions, by their names, that have one size only.
    pub fixed: Vec<(String, i64)>,
}

/// Tries the provider. The error says why it is not usable here.
pub fn try_out(
    runtime: &Runtime,
    settings: &Settings,
    provider: Provider,
) -> Result<Usable, String> {
    if provider == Provider::TensorRtRtx || provider == Provider::Cuda {
        refuse_half(settings.precision)?;
    }
    let gpu = match provider {
        Provider::Cpu => None,
        _ => {
            is_there(runtime, provider)?;
            Some(device::gpu(settings.device)?)
        }
    };
    let usable = Usable { provider, gpu, number: settings.device };
    let shape = vec![1, 1, 8, 8];
    let names = (vec!["x".to_owned()], vec!["y".to_owned()]);
    let mut probe =
        load(runtime, settings, &usable, PROBE, &Options::default(), names.clone())?.session;
    let answer = probe.run(&[ndarray::ArrayD::ones(shape)])?.remove(0);
    let middle = answer[[0, 0, 4, 4]];
    if (middle - 9.0).abs() > 0.01 {
        return Err(format!("it computes wrongly: a sum of nine ones is {middle}"));
    }
    Ok(usable)
}

fn refuse_half(precision: Precision) -> Result<(), String> {
    match precision {
        Precision::Fp32 => Ok(()),
        Precision::Fp16 => Err("it computes in the graph's own precision; precision=fp16 is for \
            tensorrt"
            .to_owned()),
    }
}

/// Fails when this ONNX Runtime comes without the provider.
fn is_there(runtime: &Runtime, provider: Provider) -> Result<(), String> {
    let compiled = |known: ort::Result<bool>| match known {
        Ok(true) => Ok(()),
        _ => Err(format!(
            "ONNX Runtime {} ({}) is built without it; the package onnxruntime-gpu has it",
            runtime.version,
            runtime.path.display()
        )),
    };
    match provider {
        Provider::TensorRt => compiled(TensorRT::is_available()),
        Provider::Cuda => compiled(CUDA::is_available()),
        Provider::TensorRtRtx => plugin(runtime).map(drop),
        Provider::Cpu => Ok(()),
    }
}

/// A loaded graph, and whether nodes of it run on the CPU because the provider does not take them.
pub struct OnProvider {
    pub session: Loaded,
    pub partly_cpu: bool,
}

/// Makes a graph ready with that provider.
pub fn load(
    runtime: &Runtime,
    settings: &Settings,
    usable: &Usable,
    onnx: &[u8],
    options: &Options,
    (inputs, outputs): (Vec<String>, Vec<String>),
) -> Result<OnProvider, String> {
    let _alone = runtime.setup.lock().unwrap_or_else(PoisonError::into_inner);
    library::logged();
    let attempt = |strict: bool| {
        guarded(|| {
            let mut builder = builder(runtime, settings, usable, options)?;
            if strict {
                builder = builder
                    .with_config_entry("session.disable_cpu_ep_fallback", "1")
                    .map_err(|e| told(&e))?;
            }
            let session = builder.commit_from_memory(onnx).map_err(|e| told(&e))?;
            Loaded::new(session, inputs.clone(), outputs.clone())
        })
    };
    // Without a word ONNX Runtime would run on the CPU what the provider refuses.
    let strict = usable.provider != Provider::Cpu;
    match attempt(strict) {
        Err(reason) if strict && reason.contains(LEFT_OVER) => {
            Ok(OnProvider { session: attempt(false)?, partly_cpu: true })
        }
        other => Ok(OnProvider { session: other?, partly_cpu: false }),
    }
}

/// A session that only reads the graph, to see what goes in and out.
pub fn inspect(runtime: &Runtime, onnx: &[u8]) -> Result<Session, String> {
    let _alone = runtime.setup.lock().unwrap_or_else(PoisonError::into_inner);
    library::logged();
    guarded(|| {
        let read = || -> ort::Result<Session> {
            on_cpu(runtime, plain(runtime)?)?
                .with_optimization_level(GraphOptimizationLevel::Disable)?
                .commit_from_memory(onnx)
        };
        read().map_err(|e| told(&e))
    })
}

fn plain(runtime: &Runtime) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(&runtime.environment)?
        .with_log_level(ort::logging::LogLevel::Error)?
        // Threads that wait by spinning would take whole cores from the rest of a pipeline.
        .with_config_entry("session.intra_op.allow_spinning", "0")?)
}

fn on_cpu(runtime: &Runtime, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    // Named, as ONNX Runtime otherwise chooses among all that is registered in the process.
    let cpu = devices(runtime, CPU_NAME).into_iter().take(1);
    Ok(builder.with_devices(cpu, None)?)
}

fn builder(
    runtime: &Runtime,
    settings: &Settings,
    usable: &Usable,
    options: &Options,
) -> Result<SessionBuilder, String> {
    let set = || -> ort::Result<SessionBuilder> {
        let mut builder = plain(runtime)?;
        for (name, size) in &options.fixed {
            builder = builder.with_dimension_override(name, *size)?;
        }
        Ok(builder)
    };
    let mut builder = set().map_err(|e| told(&e))?;
    preload(runtime, usable.provider);
    match usable.provider {
        Provider::TensorRt => {
            tensorrt(settings, options).register(&mut builder).map_err(|e| told(&e))?;
            // For what TensorRT does not take.
            if cuda(settings).register(&mut builder).is_err() {
                library::logged();
            }
        }
        Provider::Cuda => cuda(settings).register(&mut builder).map_err(|e| told(&e))?,
        Provider::Cpu => builder = on_cpu(runtime, builder).map_err(|e| told(&e))?,
        Provider::TensorRtRtx => builder = rtx(runtime, settings, options, builder)?,
    }
    Ok(builder)
}

fn tensorrt(settings: &Settings, options: &Options) -> TensorRT {
    let mut provider = TensorRT::default()
        .with_device_id(settings.device.cast_signed())
        .with_fp16(settings.precision == Precision::Fp16);
    if let Some((least, most)) = &options.profile {
        // Full batches are what has to be fast.
        provider = provider
            .with_profile_min_shapes(least)
            .with_profile_opt_shapes(most)
            .with_profile_max_shapes(most);
    }
    match &options.cache {
        Some(folder) => provider.with_engine_cache(true).with_engine_cache_path(folder.display()),
        None => provider,
    }
}

fn cuda(settings: &Settings) -> CUDA {
    CUDA::default()
        .with_device_id(settings.device.cast_signed())
        // The exhaustive search would begin anew for every size of a batch.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // 10 bits of mantissa are not fp32.
        .with_tf32(false)
}

/// TensorRT-RTX is a plug-in of ONNX Runtime: registered once, then chosen by device.
fn rtx(
    runtime: &Runtime,
    settings: &Settings,
    options: &Options,
    builder: SessionBuilder,
) -> Result<SessionBuilder, String> {
    static REGISTERED: Mutex<bool> = Mutex::new(false);
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*registered {
        let path = plugin(runtime)?;
        runtime.environment.register_ep_library(RTX_NAME, &path).map_err(|e| told(&e))?;
        *registered = true;
    }
    let all = devices(runtime, RTX_NAME);
    let count = all.len();
    let device = all.into_iter().nth(settings.device as usize).ok_or_else(|| {
        format!("it takes {count} of this machine's GPUs, not number {}", settings.device)
    })?;
    let mut set = Vec::new();
    let mut option = |key: &str, value: String| set.push((format!("{RTX_NAME}.{key}"), value));
    if let Some((least, most)) = &options.profile {
        option("nv_profile_min_shapes", least.clone());
        option("nv_profile_opt_shapes", most.clone());
        option("nv_profile_max_shapes", most.clone());
    }
    if let Some(folder) = &options.cache {
        option("nv_runtime_cache_path", folder.display().to_string());
    }
    builder.with_devices([device], Some(&set)).map_err(|e| told(&e))
}

fn devices<'r>(runtime: &'r Runtime, provider: &str) -> Vec<Device<'r>> {
    let all = runtime.environment.devices();
    all.filter(|device| device.ep().is_ok_and(|name| name == provider)).collect()
}

/// The TensorRT-RTX provider's own library.
fn plugin(runtime: &Runtime) -> Result<PathBuf, String> {
    let mut folders: Vec<PathBuf> = runtime.path.parent().map(Path::to_owned).into_iter().collect();
    folders.extend(library::packages(&runtime.path).iter().map(|folder| folder.join(RTX_PACKAGE)));
    folders
        .into_iter()
        .map(|folder| folder.join(RTX_PLUGIN))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            "its plug-in was not found; the package onnxruntime-ep-nv-tensorrt-rtx has it"
                .to_owned()
        })
}

/// Loads what the provider needs from Python packages, where the system's loader does not look.
/// What is missing is told by ONNX Runtime when it loads the provider.
fn preload(runtime: &Runtime, provider: Provider) {
    const CUDA: [&str; 8] = [
        "libcudart.so.",
        "libnvrtc.so.",
        "libnvJitLink.so.",
        "libcublasLt.so.",
        "libcublas.so.",
        "libcurand.so.",
        "libcufft.so.",
        "libcudnn.so.",
    ];
    const TENSORRT: [&str; 3] = ["libnvinfer.so.", "libnvinfer_plugin.so.", "libnvonnxparser.so."];
    const RTX: [&str; 3] =
        ["libcudart.so.", "libtensorrt_rtx.so.", "libtensorrt_onnxparser_rtx.so."];
    for packages in library::packages(&runtime.path) {
        let nvidia = || subfolders(&packages.join("nvidia"), "lib");
        match provider {
            Provider::Cpu => {}
            Provider::Cuda => preload_from(&nvidia(), &CUDA),
            Provider::TensorRt => {
                preload_from(&nvidia(), &CUDA);
                preload_from(&[packages.join("tensorrt_libs")], &TENSORRT);
            }
            Provider::TensorRtRtx => preload_from(&[packages.join(RTX_PACKAGE)], &RTX),
        }
    }
}

fn subfolders(folder: &Path, inner: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(inner)).filter(|path| path.is_dir()).collect()
}

/// In the order of the names, as later ones need the earlier.
fn preload_from(folders: &[PathBuf], names: &[&str]) {
    for name in names {
        for folder in folders {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(name) {
                    // Without it, loading the provider fails and says what is missing.
                    let _ = ort::util::preload_dylib(entry.path());
                }
            }
        }
    }
}

/// What an error says, and what was logged on the way to it.
fn told<T>(error: &ort::Error<T>) -> String {
    let mut lines = vec![error.message().to_owned()];
    for line in library::logged() {
        if !lines.iter().any(|known| known.contains(&line)) {
            lines.push(line);
        }
    }
    shortened(&lines.join("; "))
}
