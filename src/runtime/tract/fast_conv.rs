// SPDX-License-Identifier: MPL-2.0

//! Puts [`Winograd`] in place of tract's own convolution where it is the faster of the two.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use crate::runtime::winograd::Winograd;

/// Thinner convolutions spend their time in the transforms.
const MIN_CHANNELS: usize = 16;
/// On smaller pictures the products read more weights than they save multiplications.
const MIN_PIXELS: usize = 48;

/// 1 x channels x height x width to the same of other channels.
#[derive(Debug, Clone, PartialEq)]
struct FastConv {
    convolution: Arc<Winograd>,
    /// Of the output.
    shape: [usize; 4],
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
        && pool.strides.as_ref().is_none_or(|s| s.iter().all(|s| *s == 1))
        && pool.dilations.as_ref().is_none_or(|d| d.iter().all(|d| *d == 1))
        && [input.datum_type, kernel.datum_type(), bias.datum_type()] == [DatumType::F32; 3];
    let gains = inputs.min(outputs) >= MIN_CHANNELS && height * width >= MIN_PIXELS;
    if !(same && plain && gains) {
        return Ok(None);
    }
    let kernel = kernel.try_as_plain_ram()?.as_slice::<f32>()?;
    // A bias of one value stands for all channels.
    let bias = bias.broadcast_to_shape(&[outputs])?;
    let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?;
    let Some(convolution) = Winograd::new(kernel, bias, (height, width)) else {
        return Ok(None);
    };
    let op = FastConv { convolution: Arc::new(convolution), shape: [1, outputs, height, width] };
    let mut patch = TypedModelPatch::new("winograd");
    let input = patch.tap_model(model, node.inputs[0])?;
    let output = patch.wire_node(&node.name, op, &[input])?[0];
    patch.shunt_outside(model, node.id.into(), output)?;
    Ok(Some(patch))
}

impl Op for FastConv {
    fn name(&self) -> StaticName {
        "Winograd".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FastConv {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        // SAFETY: the convolution writes every value.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.shape)? };
        self.convolution.run(
            input.try_as_plain_ram()?.as_slice::<f32>()?,
            output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
        );
        Ok(tvec!(output.into()))
    }
}

impl TypedOp for FastConv {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(self.shape)))
    }

    as_op!();
}
