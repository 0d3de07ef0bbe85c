// SPDX-License-Identifier: MPL-2.0

//! What no ONNX file may hold, whatever runs it.

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};
use tract_onnx::prelude::Framework;

/// The file, read, if it can be read and holds nothing that is refused.
pub fn read(onnx: &[u8]) -> Result<ModelProto, String> {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &*onnx)
        .map_err(|_| "this is not an ONNX file, or one that was cut short".to_owned())?;
    let graph = proto.graph.as_ref().ok_or("the file holds no graph")?;
    no_control_flow(graph)?;
    short_names(graph)?;
    weights_inside(graph)?;
    Ok(proto)
}

/// Graphs inside of graphs are no part of the model contract and could hold what is refused below.
fn no_control_flow(graph: &GraphProto) -> Result<(), String> {
    let inner = graph
        .node
        .iter()
        .find(|n| n.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty()));
    match inner {
        Some(node) => Err(format!(
            "node `{}` ({}) is control flow, which is not accepted",
            node.name, node.op_type
        )),
        None => Ok(()),
    }
}

/// Names of dimensions are formulas to tract, read by a function that calls itself for every
/// bracket: a long one would end the process.
fn short_names(graph: &GraphProto) -> Result<(), String> {
    const LONGEST: usize = 64;
    for input in &graph.input {
        let Some(Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref())
        else {
            continue;
        };
        for dim in tensor.shape.iter().flat_map(|shape| &shape.dim) {
            if let Some(DimValue::DimParam(name)) = &dim.value
                && name.len() > LONGEST
            {
                let length = name.len();
                return Err(format!(
                    "a dimension of an input has a name of {length} bytes, {LONGEST} are accepted"
                ));
            }
        }
    }
    Ok(())
}

/// The SHA-256 of `model.toml`, by which results name their model, covers this file alone.
fn weights_inside(graph: &GraphProto) -> Result<(), String> {
    let outside = |t: &&TensorProto| t.data_location == Some(DataLocation::External as i32);
    let constants = graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.t.as_ref());
    match graph.initializer.iter().chain(constants).find(outside) {
        Some(tensor) => Err(format!(
            "the weights `{}` are in a second file, which is not accepted; export the network into one",
            tensor.name
        )),
        None => Ok(()),
    }
}
