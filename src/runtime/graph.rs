// SPDX-License-Identifier: MPL-2.0

//! The seam between the networks and whatever runs them.

use std::fmt;

use ndarray::{ArrayD, ArrayViewD};

use crate::core::Error;

/// A loaded graph. May be run from several threads at once.
pub trait Graph: Send + Sync {
    /// `inputs` in the order declared at load, in standard layout and of the declared shapes;
    /// answers the outputs in the order declared at load.
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<ArrayD<f32>>, Error>;

    /// Sets of inputs that are worth running at once; 1 where it gains nothing.
    fn together(&self) -> usize {
        1
    }

    /// Runs several sets of inputs, each in standard layout; the answers in their order.
    fn run_all(&self, sets: Vec<Vec<ArrayD<f32>>>) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
        sets.iter().map(|set| self.run(&views(set))).collect()
    }
}

/// Something that a backend tells of itself, for statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Text(String),
    Count(u64),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => count.fmt(f),
        }
    }
}

/// Something that runs ONNX graphs.
pub trait Backend: Send + Sync {
    /// Distinguishes loaded graphs of one backend, and of one device, from those of others.
    fn name(&self) -> &str;

    /// Makes a graph ready to run. `network` names it in errors; `inputs` are all its inputs, by
    /// name and with the shapes they will always have; `outputs` those of its outputs that are
    /// wanted, by name.
    fn load(
        &self,
        network: &str,
        onnx: &[u8],
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Box<dyn Graph>, Error>;

    /// What it runs on and how that went so far, by names in kebab-case.
    fn facts(&self) -> Vec<(&'static str, Fact)> {
        Vec::new()
    }
}

/// A graph of whichever backend, with everything that goes in and comes out checked.
pub struct Network {
    name: String,
    graph: Box<dyn Graph>,
    inputs: Vec<(String, Vec<usize>)>,
    outputs: Vec<(String, Vec<usize>)>,
}

impl Network {
    /// Loads the graph and runs it once on zeros: that tells the shapes of the outputs and makes
    /// the first real run as fast as the others.
    pub fn load(
        backend: &dyn Backend,
        name: &str,
        onnx: &[u8],
        inputs: &[(&str, Vec<usize>)],
        outputs: &[&str],
    ) -> Result<Self, Error> {
        let graph = backend.load(name, onnx, inputs, outputs)?;
        let zeros: Vec<ArrayD<f32>> =
            inputs.iter().map(|(_, shape)| ArrayD::zeros(&**shape)).collect();
        let first = graph.run(&views(&zeros))?;
        if first.len() != outputs.len() {
            return Err(Error::Model {
                model: name.to_owned(),
                reason: format!("it answers {} outputs instead of {}", first.len(), outputs.len()),
            });
        }
        let shapes = first.iter().map(|array| array.shape().to_vec());
        let network = Self {
            name: name.to_owned(),
            graph,
            inputs: inputs
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), shape.clone()))
                .collect(),
            outputs: outputs.iter().map(|name| (*name).to_owned()).zip(shapes).collect(),
        };
        network.check_outputs(&first)?;
        Ok(network)
    }

    /// Shape of the output of that position.
    pub fn output_shape(&self, position: usize) -> &[usize] {
        &self.outputs[position].1
    }

    /// Fails unless the output of that position has that shape.
    pub fn expect_output(&self, position: usize, shape: &[usize]) -> Result<(), Error> {
        let (name, found) = &self.outputs[position];
        if found == shape {
            return Ok(());
        }
        Err(Error::Model {
            model: self.name.clone(),
            reason: format!("output `{name}` has the shape {found:?}, {shape:?} is wanted"),
        })
    }

    /// Sets of inputs that are worth handing to [`Self::run_all`] at once.
    pub fn together(&self) -> usize {
        self.graph.together()
    }

    /// Runs the graph; fails on inputs of another shape than declared and on outputs that are not
    /// finite numbers.
    pub fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<ArrayD<f32>>, Error> {
        self.check_inputs(inputs)?;
        let outputs = self.graph.run(inputs)?;
        self.check_outputs(&outputs)?;
        Ok(outputs)
    }

    /// The same for several sets of inputs, each in standard layout; the answers in their order.
    pub fn run_all(&self, sets: Vec<Vec<ArrayD<f32>>>) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
        sets.iter().try_for_each(|set| self.check_inputs(&views(set)))?;
        let all = self.graph.run_all(sets)?;
        all.iter().try_for_each(|outputs| self.check_outputs(outputs))?;
        Ok(all)
    }

    fn check_inputs(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<(), Error> {
        let fits = inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).all(|(array, (_, shape))| array.shape() == shape);
        if fits {
            return Ok(());
        }
        let given: Vec<_> = inputs.iter().map(|array| array.shape()).collect();
        Err(self.failed(format!("it was given {given:?}, it takes {:?}", self.inputs)))
    }

    fn check_outputs(&self, outputs: &[ArrayD<f32>]) -> Result<(), Error> {
        for (array, (name, shape)) in outputs.iter().zip(&self.outputs) {
            if array.shape() != shape {
                let found = array.shape();
                return Err(
                    self.failed(format!("output `{name}` changed from {shape:?} to {found:?}"))
                );
            }
            let bad = array.iter().filter(|v| !v.is_finite()).count();
            if bad > 0 {
                return Err(self.failed(format!(
                    "{bad} of {} values of output `{name}` are not finite numbers",
                    array.len()
                )));
            }
        }
        Ok(())
    }

    fn failed(&self, reason: String) -> Error {
        Error::Inference { network: self.name.clone(), reason }
    }
}

/// Views of all arrays, as [`Network::run`] takes them.
pub fn views(arrays: &[ArrayD<f32>]) -> Vec<ArrayViewD<'_, f32>> {
    arrays.iter().map(|array| array.view()).collect()
}
