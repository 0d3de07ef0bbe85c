// SPDX-License-Identifier: MPL-2.0

//! Networks by ONNX Runtime, on NVIDIA's GPUs through TensorRT, TensorRT-RTX or CUDA, or on the CPU.
//! Nothing outside this folder names `ort`.
//!
//! ONNX Runtime's library is loaded while the program runs; without it everything else works.

mod cache;
mod device;
mod library;
mod provider;
pub mod report;
mod session;
mod settings;
mod sizes;

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use ndarray::ArrayD;

use self::cache::{Building, Cache, Identity};
use self::library::Runtime;
use self::provider::{OnProvider, Options, Usable};
use self::session::{Loaded, Ports};
pub use self::settings::{Precision, Provider, Settings};
use self::sizes::{Run, Sizes};
use super::batch::{Batched, Counters, Limits};
use super::graph::{Backend, Fact, Graph};
use super::tract::vet;
use crate::core::Error;

/// ONNX Runtime with one provider on one device. Opened once per process and [`Settings`], so that
/// all streams with the same settings share sessions and queues.
pub struct OnnxRuntime {
    name: String,
    settings: Settings,
    runtime: &'static Runtime,
    usable: Usable,
    /// Why the providers that come first are not used.
    passed_over: Vec<(Provider, String)>,
    counters: Arc<Counters>,
    kept: Kept,
}

/// What became of engines.
#[derive(Debug, Default)]
struct Kept {
    hits: AtomicU64,
    misses: AtomicU64,
    /// Why none are kept.
    trouble: Mutex<Option<String>>,
    partly_cpu: AtomicU64,
}

impl OnnxRuntime {
    /// Loads the library and takes the first provider that works.
    ///
    /// # Errors
    /// When there is no library, or no provider that may be used works; with all the reasons, and
    /// what to do.
    pub fn open(settings: &Settings) -> Result<Arc<Self>, Error> {
        static OPEN: LazyLock<Mutex<HashMap<Settings, Weak<OnnxRuntime>>>> =
            LazyLock::new(Mutex::default);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, backend| backend.strong_count() > 0);
        if let Some(backend) = open.get(settings).and_then(Weak::upgrade) {
            return Ok(backend);
        }
        let backend = Arc::new(Self::choose(settings)?);
        open.insert(settings.clone(), Arc::downgrade(&backend));
        Ok(backend)
    }

    fn choose(settings: &Settings) -> Result<Self, Error> {
        let runtime = library::load(settings.library.as_deref())?;
        let mut passed_over = Vec::new();
        for candidate in settings.candidates() {
            match provider::try_out(runtime, settings, candidate) {
                Ok(usable) => {
                    return Ok(Self {
                        name: format!("onnxruntime {candidate} {settings:?}"),
                        settings: settings.clone(),
                        runtime,
                        usable,
                        passed_over,
                        counters: Arc::default(),
                        kept: Kept::default(),
                    });
                }
                Err(reason) => passed_over.push((candidate, reason)),
            }
        }
        let reasons: Vec<String> =
            passed_over.iter().map(|(provider, why)| format!("{provider}: {why}")).collect();
        let advice = if settings.candidates().contains(&Provider::Cpu) {
            ""
        } else {
            "; `dfer models --providers` lists what is there, docs/tensorrt.md how to get the rest, \
             and allow-cpu=true runs without a GPU"
        };
        Err(library::refused(format!(
            "no execution provider works with {} (version {}): {}{advice}",
            runtime.path.display(),
            runtime.version,
            reasons.join("; ")
        )))
    }

    /// The provider in use.
    pub fn provider(&self) -> Provider {
        self.usable.provider
    }

    /// Providers that come first and do not work, with the reasons.
    pub fn passed_over(&self) -> &[(Provider, String)] {
        &self.passed_over
    }

    /// What is computed in: only TensorRT is asked for less than the graphs have.
    fn precision(&self) -> Precision {
        match self.usable.provider {
            Provider::TensorRt => self.settings.precision,
            Provider::TensorRtRtx | Provider::Cuda | Provider::Cpu => Precision::Fp32,
        }
    }

    /// Where built engines of this graph lie; `None` where there are none to keep.
    fn cache(&self, onnx: &[u8], shapes: &str, outputs: &[&str]) -> Option<Cache> {
        let library = match self.usable.provider {
            Provider::TensorRt => "libnvinfer.so",
            Provider::TensorRtRtx => "libtensorrt_rtx.so",
            Provider::Cuda | Provider::Cpu => return None,
        };
        let gpu = self.usable.gpu.as_ref()?;
        // The file's name may hold the version or not; its length changes with every build.
        let library = library::mapped(library).map(|path| {
            let length = path.metadata().map(|m| m.len()).unwrap_or(0);
            format!("{} {length}", path.file_name().unwrap_or_default().display())
        });
        let identity = [
            ("graph", cache::sha256(onnx)),
            ("shapes", shapes.to_owned()),
            ("outputs", outputs.join(",")),
            ("provider", self.usable.provider.to_string()),
            ("precision", self.settings.precision.name().to_owned()),
            ("gpu", format!("{} sm_{}", gpu.name, gpu.capability)),
            ("onnxruntime", self.runtime.version.clone()),
            ("library", library.unwrap_or_else(|| "unknown".to_owned())),
        ];
        let identity: Identity = identity.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let root = self.settings.engine_cache.clone().or_else(Settings::default_cache)?;
        Some(Cache::new(&root, identity))
    }

    fn load_cached(
        &self,
        onnx: &[u8],
        mut options: Options,
        names: (Vec<String>, Vec<String>),
        cache: Option<Cache>,
    ) -> Result<Ready, String> {
        let load = |options: &Options| {
            provider::load(self.runtime, &self.settings, &self.usable, onnx, options, names.clone())
        };
        let Some(cache) = cache else { return Ok(Ready::new(load(&options)?, None)) };
        let found = cache.find();
        // TensorRT-RTX writes its cache at the end of a session, also what it has read: never in
        // place.
        let at_the_end = self.usable.provider == Provider::TensorRtRtx;
        if let Some(folder) = found.clone().filter(|_| !at_the_end) {
            options.cache = Some(folder);
            if let Ok(loaded) = load(&options) {
                self.kept.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(Ready::new(loaded, None));
            }
            // Whole, for this very GPU and version, and refused all the same: built anew.
            self.trouble(cache.discard().err());
        }
        let building = match cache.build(found.as_deref().filter(|_| at_the_end)) {
            Ok(building) => Some(building),
            Err(trouble) => {
                self.trouble(Some(trouble));
                None
            }
        };
        options.cache = building.as_ref().map(|b| b.folder().to_owned());
        let loaded = load(&options)?;
        let counter =
            if at_the_end && found.is_some() { &self.kept.hits } else { &self.kept.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        match building {
            Some(building) if !at_the_end => {
                self.trouble(building.keep().err());
                Ok(Ready::new(loaded, None))
            }
            other => Ok(Ready::new(loaded, other)),
        }
    }

    /// The graph for batches of up to `most` sets, once or once a size, as the provider needs it.
    fn sized(
        &self,
        inputs: &[(&str, Vec<usize>)],
        most: usize,
        mut load: impl FnMut() -> Result<Ready, String>,
    ) -> Result<Box<dyn Run + Send>, String> {
        if self.usable.provider != Provider::Cuda {
            return Ok(Box::new(load()?));
        }
        let set = inputs.iter().map(|(_, shape)| shape.clone()).collect();
        Ok(Box::new(Sizes::load(&Sizes::<Ready>::up_to(most), set, load)?))
    }

    fn trouble(&self, trouble: Option<String>) {
        if trouble.is_some() {
            *self.kept.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        }
    }
}

/// A graph with the cache folder that it writes when it ends.
struct Ready {
    /// `None` only while it is dropped.
    loaded: Option<Loaded>,
    partly_cpu: bool,
    building: Option<Building>,
}

impl Ready {
    fn new(on: OnProvider, building: Option<Building>) -> Self {
        Self { loaded: Some(on.session), partly_cpu: on.partly_cpu, building }
    }
}

impl Run for Ready {
    fn run(&mut self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, String> {
        self.loaded.as_mut().expect("present until it is dropped").run(inputs)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.loaded = None;
        if let Some(building) = self.building.take() {
            // Nobody is there any more to be told; the next run builds anew.
            let _ = building.keep();
        }
    }
}

impl Backend for OnnxRuntime {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(
        &self,
        network: &str,
        onnx: &[u8],
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Box<dyn Graph>, Error> {
        let refused = |reason: String| Error::Model { model: network.to_owned(), reason };
        vet::read(onnx).map_err(refused)?;
        let read = provider::inspect(self.runtime, onnx).map_err(refused)?;
        let ports = Ports::check(&read, inputs, outputs).map_err(refused)?;
        drop(read);
        let mut most = if ports.batch { self.settings.max_batch.max(1) } else { 1 };
        let mut fixed = ports.fixed;
        if most == 1 {
            let rows = inputs.first().map_or(1, |(_, shape)| shape[0]);
            fixed.extend(ports.batch_names.into_iter().map(|name| (name, rows as i64)));
        }
        let shapes = (profile(inputs, 1), profile(inputs, most));
        let described = format!("{} to {}", shapes.0, shapes.1);
        let cache = self.cache(onnx, &described, outputs);
        let options = Options { profile: ports.free.then_some(shapes), cache: None, fixed };
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let names =
            (owned(inputs.iter().map(|(name, _)| *name).collect()), owned(outputs.to_vec()));
        let mut partly_cpu = false;
        let load = || {
            let ready = self.load_cached(onnx, options.clone(), names.clone(), cache.clone())?;
            partly_cpu |= ready.partly_cpu;
            Ok(ready)
        };
        let mut graph: Box<dyn Run + Send> = self.sized(inputs, most, load).map_err(|reason| {
            let provider = self.usable.provider;
            refused(format!("{provider} on {} cannot run it: {reason}", self.usable.device()))
        })?;
        if partly_cpu {
            self.kept.partly_cpu.fetch_add(1, Ordering::Relaxed);
        }
        if most > 1 && !keeps_rows_apart(&mut *graph, inputs, self.settings.precision) {
            most = 1;
        }
        let failed = network.to_owned();
        let run = move |inputs: &[ArrayD<f32>]| {
            let error = |reason| Error::Inference { network: failed.clone(), reason };
            graph.run(inputs).map_err(error)
        };
        let limits = Limits { most, timeout: self.settings.batch_timeout };
        Ok(Box::new(Batched::spawn(network, limits, self.counters.clone(), run)?))
    }

    fn facts(&self) -> Vec<(&'static str, Fact)> {
        let text = |text: &str| Fact::Text(text.to_owned());
        let count = |counter: &AtomicU64| Fact::Count(counter.load(Ordering::Relaxed));
        let mut facts = vec![
            ("runtime", Fact::Text(format!("ONNX Runtime {}", self.runtime.version))),
            ("provider", text(self.usable.provider.name())),
            ("device", Fact::Text(self.usable.device())),
            ("precision", text(self.precision().name())),
            ("engine-cache-hits", count(&self.kept.hits)),
            ("engine-cache-misses", count(&self.kept.misses)),
            ("graphs-partly-on-cpu", count(&self.kept.partly_cpu)),
            ("batches", count(&self.counters.runs)),
            ("batched", count(&self.counters.sets)),
        ];
        let trouble = self.kept.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        facts.extend(trouble.iter().map(|trouble| ("engine-cache-trouble", text(trouble))));
        facts.extend(self.passed_over.iter().map(|(provider, why)| {
            let name = match provider {
                Provider::TensorRt => "tensorrt-unusable",
                Provider::TensorRtRtx => "tensorrt-rtx-unusable",
                Provider::Cuda => "cuda-unusable",
                Provider::Cpu => "cpu-unusable",
            };
            (name, text(why))
        }));
        facts
    }
}

/// `sets` times the declared shapes, as `name:1x2x3,...`.
fn profile(inputs: &[(&str, Vec<usize>)], sets: usize) -> String {
    let one = |(name, shape): &(&str, Vec<usize>)| {
        let sizes = shape.iter().enumerate().map(|(axis, size)| {
            if axis == 0 { (size * sets).to_string() } else { size.to_string() }
        });
        format!("{name}:{}", sizes.collect::<Vec<_>>().join("x"))
    };
    inputs.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Whether two sets of inputs give together what they give alone. A graph that mixes the rows of a
/// batch would mix the faces of different streams, whatever it declares.
fn keeps_rows_apart(
    graph: &mut dyn Run,
    inputs: &[(&str, Vec<usize>)],
    precision: Precision,
) -> bool {
    let tolerance = match precision {
        Precision::Fp32 => 1e-3,
        Precision::Fp16 => 2e-2,
    };
    let mut noise = 1u32;
    let mut value = || {
        // Numerical Recipes' generator: anything but equal rows will do.
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut set = || -> Vec<ArrayD<f32>> {
        inputs.iter().map(|(_, shape)| ArrayD::from_shape_simple_fn(&**shape, &mut value)).collect()
    };
    let sets = [set(), set()];
    let both: Result<Vec<ArrayD<f32>>, _> = (0..inputs.len())
        .map(|i| ndarray::concatenate(ndarray::Axis(0), &[sets[0][i].view(), sets[1][i].view()]))
        .collect();
    let alone = sets.iter().map(|set| graph.run(set)).collect::<Result<Vec<_>, _>>();
    let (Ok(both), Ok(alone)) = (both, alone) else { return false };
    let Ok(together) = graph.run(&both) else { return false };
    together.iter().enumerate().all(|(k, output)| {
        let want = alone.iter().flat_map(|outputs| outputs[k].iter());
        output.len() == alone.iter().map(|outputs| outputs[k].len()).sum::<usize>()
            && output.iter().zip(want).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()))
    })
}

/// A panic below, which ort has for what it thinks impossible, becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    shortened(text.unwrap_or("it panicked"))
}

/// Why a library could not be loaded: libloading keeps the system's own words in the cause.
fn unloadable(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// One line of bearable length.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 600;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}
