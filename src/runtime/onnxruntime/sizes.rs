// SPDX-License-Identifier: MPL-2.0

//! One graph at few sizes of batch.
//!
//! CUDA's provider prepares every convolution anew when the size of the batch is not that of the run
//! before, and with several streams the size changes all the time. So a graph is loaded once for
//! each of a few sizes, and what does not fill one is padded.

use ndarray::{ArrayD, Axis, Slice};

/// A graph that runs sets of inputs, one behind the other along the first axis.
pub trait Run {
    fn run(&mut self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, String>;
}

/// The same graph for different sizes of batch.
pub struct Sizes<R> {
    /// Sets that each is for, rising.
    each: Vec<(usize, R)>,
    /// Shape of one set of inputs.
    set: Vec<Vec<usize>>,
}

impl<R: Run> Sizes<R> {
    /// Sizes for batches of up to `most` sets: powers of four, and `most`.
    pub fn up_to(most: usize) -> Vec<usize> {
        let powers = std::iter::successors(Some(1usize), |size| size.checked_mul(4));
        powers.take_while(|size| *size < most).chain([most]).collect()
    }

    /// Loads the graph for each of `sizes`, and runs it once: planning belongs to the start.
    pub fn load(
        sizes: &[usize],
        set: Vec<Vec<usize>>,
        mut load: impl FnMut() -> Result<R, String>,
    ) -> Result<Self, String> {
        let mut each = Vec::with_capacity(sizes.len());
        for size in sizes {
            let mut graph = load()?;
            let nothing = set.iter().map(|shape| {
                let mut shape = shape.clone();
                shape[0] *= size;
                ArrayD::zeros(shape)
            });
            graph.run(&nothing.collect::<Vec<_>>())?;
            each.push((*size, graph));
        }
        Ok(Self { each, set })
    }
}

/// `input` as `size` sets of `shape`, zeros behind it.
fn padded(input: &ArrayD<f32>, shape: &[usize], size: usize) -> ArrayD<f32> {
    let mut whole = shape.to_vec();
    whole[0] *= size;
    let mut out = ArrayD::zeros(whole);
    let rows = Slice::from(..input.shape()[0]);
    out.slice_axis_mut(Axis(0), rows).assign(input);
    out
}

impl<R: Run> Run for Sizes<R> {
    fn run(&mut self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, String> {
        let sets = inputs.first().map_or(0, |first| first.shape()[0] / self.set[0][0].max(1));
        let Some(k) = self.each.iter().position(|(size, _)| *size >= sets) else {
            return Err(format!("{sets} sets of inputs are more than a batch holds"));
        };
        let size = self.each[k].0;
        if size == sets {
            return self.each[k].1.run(inputs);
        }
        let padded = inputs.iter().zip(&self.set).map(|(i, shape)| padded(i, shape, size));
        let outputs = self.each[k].1.run(&padded.collect::<Vec<_>>())?;
        let ours = |output: ArrayD<f32>| {
            let rows = output.shape().first().copied().unwrap_or(0);
            if rows % size != 0 {
                return Err(format!(
                    "{size} sets of inputs gave an output of {:?}",
                    output.shape()
                ));
            }
            let rows = Slice::from(..rows / size * sets);
            Ok(output.slice_axis(Axis(0), rows).to_owned())
        };
        outputs.into_iter().map(ours).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Doubles its first input, and notes how many rows it got.
    struct Double(Rc<RefCell<Vec<usize>>>);

    impl Run for Double {
        fn run(&mut self, inputs: &[ArrayD<f32>]) -> Result<Vec<ArrayD<f32>>, String> {
            self.0.borrow_mut().push(inputs[0].shape()[0]);
            Ok(vec![&inputs[0] * 2.0])
        }
    }

    fn rows(count: usize) -> ArrayD<f32> {
        ArrayD::from_shape_fn(vec![count, 3], |i| (i[0] * 3 + i[1]) as f32 + 1.0)
    }

    #[test]
    fn sizes_are_few_and_end_with_the_largest() {
        assert_eq!(Sizes::<Double>::up_to(1), [1]);
        assert_eq!(Sizes::<Double>::up_to(16), [1, 4, 16]);
        assert_eq!(Sizes::<Double>::up_to(20), [1, 4, 16, 20]);
    }

    #[test]
    fn every_set_has_its_own_answer_at_any_number_of_sets() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sizes = Sizes::<Double>::up_to(8);
        // Two rows a set.
        let load = || Ok(Double(seen.clone()));
        let mut graph = Sizes::load(&sizes, vec![vec![2, 3]], load).unwrap();
        assert_eq!(*seen.borrow(), [2, 8, 16], "each ran once, at its size");
        for sets in 1..=8 {
            let input = rows(2 * sets);
            let output = graph.run(std::slice::from_ref(&input)).unwrap();
            assert_eq!(output, [&input * 2.0], "{sets} sets");
        }
        assert_eq!(seen.borrow()[3..], [2, 8, 8, 8, 16, 16, 16, 16]);
        let more = graph.run(&[rows(18)]).unwrap_err();
        assert!(more.contains("9 sets"), "{more}");
    }
}
