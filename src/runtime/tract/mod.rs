// SPDX-License-Identifier: MPL-2.0

//! Networks on the CPU, by tract. Nothing outside this folder names it.

#[cfg(target_arch = "x86_64")]
mod fast_conv;
pub mod vet;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayD, ArrayViewD};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    Arc, DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable,
    TValue, TVec, Tensor, TractResult, TypedRunnableModel, TypedSimpleState,
};
use tract_onnx::tract_hir::infer::Factoid;

use super::graph::{Backend, Graph};
use crate::core::Error;

/// Runs networks on the CPU, each run on the calling thread.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tract;

/// A plan with the states of runs that are not under way; a state keeps tract's work areas.
struct Plan {
    network: String,
    plan: Arc<TypedRunnableModel>,
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl Backend for Tract {
    fn name(&self) -> &str {
        "tract"
    }

    fn load(
        &self,
        network: &str,
        onnx: &[u8],
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Box<dyn Graph>, Error> {
        let refused =
            |reason: String| Error::Model { model: network.to_owned(), reason: shortened(&reason) };
        let plan = guarded(|| build(onnx, inputs, outputs)).map_err(refused)?;
        Ok(Box::new(Plan { network: network.to_owned(), plan, idle: Mutex::default() }))
    }
}

impl Graph for Plan {
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<ArrayD<f32>>, Error> {
        guarded(|| {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut state = idle.map_or_else(|| self.plan.spawn(), Ok).map_err(|e| told(&e))?;
            let outputs = run(&mut state, inputs).map_err(|e| told(&e))?;
            // A state that failed is dropped instead: nobody knows what is in it.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
            Ok(outputs)
        })
        .map_err(|reason| Error::Inference { network: self.network.clone(), reason })
    }
}

fn run(
    state: &mut TypedSimpleState,
    inputs: &[ArrayViewD<'_, f32>],
) -> TractResult<Vec<ArrayD<f32>>> {
    let values: TVec<TValue> = inputs
        .iter()
        .map(|array| match array.as_slice() {
            Some(flat) => Ok(Tensor::from_shape(array.shape(), flat)?.into()),
            None => Ok(Tensor::from(array.to_owned()).into()),
        })
        .collect::<TractResult<_>>()?;
    state.run(values)?.iter().map(|v| Ok(v.to_plain_array_view::<f32>()?.to_owned())).collect()
}

/// The optimised plan, or why there is none.
fn build(
    onnx: &[u8],
    inputs: &[(&str, Vec<usize>)],
    outputs: &[&str],
) -> Result<Arc<TypedRunnableModel>, String> {
    let framework = tract_onnx::onnx().with_ignore_value_info(true);
    let proto = vet::read(onnx)?;
    let model = framework.model_for_proto_model(&proto).map_err(|e| told(&e))?;
    let model = select_outputs(select_inputs(model, inputs)?, &proto, outputs)?;
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
    let mut model = model.into_typed().and_then(|m| m.into_decluttered()).map_err(|e| told(&e))?;
    #[cfg(target_arch = "x86_64")]
    fast_conv::replace(&mut model).map_err(|e| told(&e))?;
    let model = model.into_optimized().map_err(|e| told(&e))?;
    for (name, outlet) in outputs.iter().zip(&model.outputs) {
        let fact = model.outlet_fact(*outlet).map_err(|e| told(&e))?;
        if fact.datum_type != DatumType::F32 {
            return Err(format!("output `{name}` is of type {:?}, F32 is wanted", fact.datum_type));
        }
    }
    model.into_runnable().map_err(|e| told(&e))
}

/// The declared inputs, in that order, with the declared shapes.
fn select_inputs(
    mut model: InferenceModel,
    inputs: &[(&str, Vec<usize>)],
) -> Result<InferenceModel, String> {
    let mut outlets = Vec::new();
    let names: Vec<&str> = model.inputs.iter().map(|o| model.node(o.node).name.as_str()).collect();
    if names.len() != inputs.len() {
        let wanted: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
        return Err(format!("the graph has the inputs {names:?}, {wanted:?} are wanted"));
    }
    for (name, shape) in inputs {
        let position = names
            .iter()
            .position(|n| n == name)
            .ok_or_else(|| format!("the graph has no input `{name}`, its inputs are {names:?}"))?;
        let outlet = model.inputs[position];
        let fact = model.outlet_fact(outlet).map_err(|e| told(&e))?;
        let wanted = InferenceFact::dt_shape(DatumType::F32, &**shape);
        // Dimensions that the graph leaves open are symbols: they take any size.
        let rank_fits =
            fact.shape.rank().concretize().is_none_or(|rank| rank as usize == shape.len());
        let fits = rank_fits
            && fact.datum_type.concretize().is_none_or(|dt| dt == DatumType::F32)
            && fact.shape.dims().zip(shape).all(|(dim, want)| {
                dim.concretize().and_then(|d| d.to_i64().ok()).is_none_or(|d| d == *want as i64)
            });
        if !fits {
            return Err(format!(
                "input `{name}` is {} in the graph, {} is wanted",
                fact.format_dt_shape(),
                wanted.format_dt_shape()
            ));
        }
        outlets.push((outlet, wanted));
    }
    for (outlet, fact) in &outlets {
        model.set_outlet_fact(*outlet, fact.clone()).map_err(|e| told(&e))?;
    }
    let outlets: Vec<_> = outlets.into_iter().map(|(outlet, _)| outlet).collect();
    model.with_input_outlets(&outlets).map_err(|e| told(&e))
}

/// The wanted outputs, in that order.
fn select_outputs(
    model: InferenceModel,
    proto: &ModelProto,
    outputs: &[&str],
) -> Result<InferenceModel, String> {
    let graph = proto.graph.as_ref().ok_or("the file holds no graph")?;
    let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let outlets = outputs
        .iter()
        .map(|wanted| {
            let position = names.iter().position(|name| name == wanted);
            let position = position.filter(|p| *p < model.outputs.len());
            position.map(|p| model.outputs[p]).ok_or_else(|| {
                format!("the graph has no output `{wanted}`, its outputs are {names:?}")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    model.with_output_outlets(&outlets).map_err(|e| told(&e))
}

/// A panic inside tract, which hostile or merely odd graphs can cause, becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("tract cannot handle this graph ({})", text.unwrap_or("no reason given"))
}

/// The chain of causes in one line.
fn told(error: &tract_onnx::prelude::TractError) -> String {
    shortened(&format!("{error:#}"))
}

/// tract's texts may hold whole graphs.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}
