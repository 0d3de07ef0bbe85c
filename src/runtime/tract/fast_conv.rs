// SPDX-License-Identifier: MPL-2.0

//! Puts [`Winograd`] and [`Strided`] in place of tract's own convolution, and of the ReLU after it, where
//! they are faster.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec};
use tract_onnx::tract_core::ops::math::Max;
use tract_onnx::tract_core::ops::nn::DataFormat;

use crate::runtime::strided::Strided;
use crate::runtime::winograd::Winograd;

/// Thinner convolutions spend their time in the transforms.
const MIN_CHANNELS: usize = 16;
/// On smaller pictures the products read more weights than they save multiplications.
const MIN_PIXELS: usize = 48;

#[derive(Debug, PartialEq)]
enum Kernel {
    Winograd(Winograd),
    Strided(Strided),
}

/// 1 x channels x height x width to the same of other channels and, where it is strided, half the size.
#[derive(Debug, Clone, PartialEq)]
struct FastConv {
    kernel: Arc<Kernel>,
    /// Of the output.
    shape: [usize; 4],
    /// Least value of the output.
    floor: f32,
}

impl Eq for FastConv {}

/// Replaces every convolution that gains by it.
pub fn replace(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(patch) = replacement(model, model.node(id))? {
            patch.apply(model)?;
        }
    }
    model.compact()
}

fn replacement(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(conv) = node.op_as::<Conv>() else { return Ok(None) };
    let [input, kernel, bias] = &*model.node_input_facts(node.id)? else { return Ok(None) };
    let (Some(kernel), Some(bias)) = (&kernel.konst, &bias.konst) else { return Ok(None) };
    let (shape, pool) = (input.shape.as_concrete(), &conv.pool_spec);
    let Some(&[1, inputs, height, width]) = shape else { return Ok(None) };
    let outputs = pool.output_channels;
    let same = matches!(&pool.padding, PaddingSpec::Explicit(before, after)
        if **before == [1, 1] && **after == [1, 1]);
    let plain = conv.group == 1
        && conv.q_params.is_none()
        && conv.kernel_fmt == KernelFormat::OIHW
        && pool.data_format == DataFormat::NCHW
        && *pool.kernel_shape == [3, 3]
        && pool.dilations.as_ref().is_none_or(|d| d.iter().all(|d| *d == 1))
        && [input.datum_type, kernel.datum_type(), bias.datum_type()] == [DatumType::F32; 3];
    if !(same && plain) {
        return Ok(None);
    }
    let weights = kernel.try_as_plain_ram()?.as_slice::<f32>()?;
    // A bias of one value stands for all channels.
    let bias = bias.broadcast_to_shape(&[outputs])?;
    let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?;
    let (size, strides) = ((height, width), pool.strides.as_deref().unwrap_or(&[1, 1]));
    let gains = inputs.min(outputs) >= MIN_CHANNELS && height * width >= MIN_PIXELS;
    let kernel = match strides {
        [1, 1] if gains => Winograd::new(weights, bias, size).map(Kernel::Winograd),
        [2, 2] => Strided::new(weights, bias, size).map(Kernel::Strided),
        _ => None,
    };
    let Some(kernel) = kernel else { return Ok(None) };
    let shape = [1, outputs, height / strides[0], width / strides[1]];
    let (last, floor) = match relu(model, node)? {
        Some((relu, floor)) => (relu, floor),
        None => (node, f32::NEG_INFINITY),
    };
    let op = FastConv { kernel: Arc::new(kernel), shape, floor };
    let mut patch = TypedModelPatch::new("fast convolution");
    let input = patch.tap_model(model, node.inputs[0])?;
    let output = patch.wire_node(&node.name, op, &[input])?[0];
    patch.shunt_outside(model, last.id.into(), output)?;
    Ok(Some(patch))
}

/// The only successor of `node` and its other operand, if it takes the greater of the two.
fn relu<'a>(model: &'a TypedModel, node: &TypedNode) -> TractResult<Option<(&'a TypedNode, f32)>> {
    let [successor] = &*node.outputs[0].successors else { return Ok(None) };
    if model.outputs.contains(&node.id.into()) {
        return Ok(None);
    }
    let after = model.node(successor.node);
    let greater = after.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Max>() && op.1.is_none())
        && after.outputs[0].fact.shape == node.outputs[0].fact.shape;
    let [a, b] = &*model.node_input_facts(after.id)? else { return Ok(None) };
    let operand = if successor.slot == 0 { b } else { a };
    match &operand.uniform {
        Some(value) if greater => Ok(Some((after, value.cast_to_scalar::<f32>()?))),
        _ => Ok(None),
    }
}

impl Op for FastConv {
    fn name(&self) -> StaticName {
        "FastConv".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FastConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        // SAFETY: the convolution writes every value.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.shape)? };
        let input = input.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut output_ram = output.try_as_plain_ram_mut()?;
        let values = output_ram.as_slice_mut::<f32>()?;
        match &*self.kernel {
            Kernel::Winograd(convolution) => convolution.run(input, values, self.floor),
            Kernel::Strided(convolution) => convolution.run(input, values, self.floor),
        }
        Ok(tvec!(output.into()))
    }
}

impl TypedOp for FastConv {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(self.shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::*;
    use tract_onnx::tract_core::ops::cnn::PoolSpec;
    use tract_onnx::tract_core::ops::math;

    use super::*;
    use crate::runtime::simd::tests::noise;

    /// A convolution, what is greater than `least`, and both as outputs if `both`.
    fn model(stride: usize, least: Option<f32>, both: bool) -> TractResult<TypedModel> {
        let (inputs, outputs) = (16, 24);
        let mut model = TypedModel::default();
        let source = model.add_source("input", f32::fact([1, inputs, 8, 12]))?;
        let kernel = Tensor::from_shape(&[outputs, inputs, 3, 3], &noise(outputs * inputs * 9, 1))?;
        let kernel = model.add_const("kernel", kernel)?;
        let bias = model.add_const("bias", Tensor::from_shape(&[outputs], &noise(outputs, 2))?)?;
        let pool_spec = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec![3, 3],
            padding: PaddingSpec::Explicit(tvec![1, 1], tvec![1, 1]),
            dilations: None,
            strides: Some(tvec![stride, stride]),
            input_channels: inputs,
            output_channels: outputs,
        };
        let conv = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: 1, q_params: None };
        let mut wire = model.wire_node("conv", conv, &[source, kernel, bias])?;
        let conv = wire[0];
        if let Some(least) = least {
            let least = model.add_const("least", Tensor::from_shape(&[1, 1, 1, 1], &[least])?)?;
            wire = model.wire_node("relu", math::max(), &[conv, least])?;
        }
        let outputs = if both { vec![wire[0], conv] } else { vec![wire[0]] };
        model.with_output_outlets(&outputs)
    }

    /// Number of nodes that were there, that are there, and the outputs of both on the same picture.
    type Compared = ([usize; 2], [TVec<TValue>; 2]);

    fn compared(model: TypedModel) -> TractResult<Compared> {
        let mut fast = model.clone();
        replace(&mut fast)?;
        let ours =
            |model: &TypedModel| model.nodes.iter().filter(|n| n.op_is::<FastConv>()).count();
        assert_eq!((ours(&model), ours(&fast)), (0, 1), "the convolution is replaced");
        let counts =
            [&model, &fast].map(|m| m.nodes.iter().filter(|n| n.op_is::<TypedBinOp>()).count());
        let picture: TValue = Tensor::from_shape(&[1, 16, 8, 12], &noise(16 * 8 * 12, 3))?.into();
        let run = |model: TypedModel| model.into_runnable()?.run(tvec![picture.clone()]);
        Ok((counts, [run(model)?, run(fast)?]))
    }

    #[test]
    fn answers_as_tract_does() -> TractResult<()> {
        if !crate::runtime::simd::available() {
            return Ok(());
        }
        for stride in [1, 2] {
            for (least, both, left) in [
                (None, false, 0),
                (Some(0.0), false, 0),
                (Some(0.25), false, 0),
                // What the convolution itself gives is wanted, too.
                (Some(0.0), true, 1),
            ] {
                let (counts, [want, found]) = compared(model(stride, least, both)?)?;
                assert_eq!(counts, [least.is_some() as usize, left], "stride {stride}, {least:?}");
                for (want, found) in want.iter().zip(&found) {
                    found.close_enough(want, Approximation::Approximate)?;
                }
            }
        }
        Ok(())
    }
}
