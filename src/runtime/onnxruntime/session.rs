// SPDX-License-Identifier: MPL-2.0

//! One graph in ONNX Runtime: what goes in, what comes out, and running it.

use ndarray::ArrayD;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::{guarded, shortened};

/// A graph that is ready to run. Not to be run from two threads at once.
pub struct Loaded {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Loaded {
    /// `inputs` and `outputs` by name, in the order that [`Self::run`] is to take and give them.
    pub fn new(
        session: Session,
        inputs: Vec<String>,
        outputs: Vec<String>,
    ) -> Result<Self, String> {
        let selected =
            outputs.iter().fold(OutputSelector::no_default(), |all, name| all.with(name.as_str()));
        let options = RunOptions::new().map_err(|e| e.to_string())?.with_outputs(selected);
        Ok(Self { session, options, inputs, outputs })
    }

    /// Arrays in standard layout.
    pub fn run(&mut self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, String> {
        let Self { session, options, inputs: names, outputs } = self;
        guarded(|| {
            let mut run = || -> ort::Result<Vec<Result<ArrayD<f32>, String>>> {
                let mut values = Vec::with_capacity(inputs.len());
                for (name, array) in names.iter().zip(inputs) {
                    let data = array
                        .as_slice()
                        .ok_or_else(|| ort::Error::new("an input is not in standard layout"))?;
                    let tensor = TensorRef::from_array_view((array.shape().to_vec(), data))?;
                    values.push((name.as_str(), SessionInputValue::from(tensor)));
                }
                let answers = session.run_with_options(values, options)?;
                let take = |name: &String| -> ort::Result<Result<ArrayD<f32>, String>> {
                    let answer = answers
                        .get(name)
                        .ok_or_else(|| ort::Error::new(format!("there is no output `{name}`")))?;
                    let (shape, data) = answer.try_extract_tensor::<f32>()?;
                    let shape: Vec<usize> =
                        shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
                    Ok(ArrayD::from_shape_vec(shape, data.to_vec()).map_err(|e| e.to_string()))
                };
                outputs.iter().map(take).collect()
            };
            run().map_err(|e| shortened(e.message()))?.into_iter().collect()
        })
    }
}

/// Inputs and outputs of a graph, checked against what is wanted.
pub struct Ports {
    /// Whether the first dimension of everything is free: a batch of any size.
    pub batch: bool,
    /// Names of free dimensions behind the first, with the sizes they are to have.
    pub fixed: Vec<(String, i64)>,
    /// Name of the first dimension where it has one.
    pub batch_names: Vec<String>,
    /// Whether any dimension is free.
    pub free: bool,
}

impl Ports {
    /// The error says which name, type or shape does not fit.
    pub fn check(
        session: &Session,
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Self, String> {
        let names: Vec<&str> = session.inputs().iter().map(Outlet::name).collect();
        if names.len() != inputs.len() {
            let wanted: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
            return Err(format!("the graph has the inputs {names:?}, {wanted:?} are wanted"));
        }
        let mut ports =
            Self { batch: true, fixed: Vec::new(), batch_names: Vec::new(), free: false };
        for (name, wanted) in inputs {
            let outlet = session.inputs().iter().find(|o| o.name() == *name).ok_or_else(|| {
                format!("the graph has no input `{name}`, its inputs are {names:?}")
            })?;
            ports.input(outlet, wanted)?;
        }
        let names: Vec<&str> = session.outputs().iter().map(Outlet::name).collect();
        for name in outputs {
            let outlet = session.outputs().iter().find(|o| o.name() == *name).ok_or_else(|| {
                format!("the graph has no output `{name}`, its outputs are {names:?}")
            })?;
            let (shape, _) = tensor(outlet, "output")?;
            ports.batch &= shape.first() == Some(&-1);
        }
        Ok(ports)
    }

    fn input(&mut self, outlet: &Outlet, wanted: &[usize]) -> Result<(), String> {
        let (shape, symbols) = tensor(outlet, "input")?;
        let fits = shape.len() == wanted.len()
            && shape.iter().zip(wanted).all(|(has, want)| *has < 0 || *has == *want as i64);
        if !fits {
            let name = outlet.name();
            return Err(format!(
                "input `{name}` has the shape {shape:?} in the graph (-1 is any), {wanted:?} is wanted"
            ));
        }
        self.batch &= shape.first() == Some(&-1);
        for (axis, (size, symbol)) in shape.iter().zip(symbols).enumerate() {
            if *size >= 0 {
                continue;
            }
            self.free = true;
            let known = if axis == 0 {
                self.batch_names.contains(symbol)
            } else {
                self.fixed.iter().any(|(name, _)| name == symbol)
            };
            if symbol.is_empty() || known {
                continue;
            }
            if axis == 0 {
                self.batch_names.push(symbol.clone());
            } else {
                self.fixed.push((symbol.clone(), wanted[axis] as i64));
            }
        }
        Ok(())
    }
}

fn tensor<'o>(outlet: &'o Outlet, what: &str) -> Result<(&'o [i64], &'o [String]), String> {
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, dimension_symbols } => {
            Ok((shape, dimension_symbols))
        }
        other => Err(format!("{what} `{}` is {other}, f32 is wanted", outlet.name())),
    }
}
