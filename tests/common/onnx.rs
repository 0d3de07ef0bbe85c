// SPDX-License-Identifier: MPL-2.0

//! Writes small ONNX files by hand, so that tests need neither a framework nor files of others.
//! The field numbers are those of onnx.proto.

/// A graph under construction; opset 17, float32.
#[derive(Default)]
pub struct Graph {
    body: Message,
    named: usize,
}

/// The value of a node's attribute.
pub enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    /// An empty graph, as control flow has.
    Graph,
}

impl Graph {
    /// An input; a dimension of 0 is left open.
    pub fn input(mut self, name: &str, shape: &[i64]) -> Self {
        self.body.message(11, &value_info(name, shape));
        self
    }

    pub fn output(mut self, name: &str, shape: &[i64]) -> Self {
        self.body.message(12, &value_info(name, shape));
        self
    }

    /// A constant.
    pub fn constant(mut self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        let mut tensor = Message::default();
        shape.iter().for_each(|dim| tensor.int(1, *dim));
        tensor.int(2, 1);
        tensor.text(8, name);
        tensor.bytes(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        self.body.message(5, &tensor);
        self
    }

    /// A constant whose values lie in `file` beside the graph's.
    pub fn constant_elsewhere(mut self, name: &str, shape: &[i64], file: &str) -> Self {
        let (mut tensor, mut place) = (Message::default(), Message::default());
        shape.iter().for_each(|dim| tensor.int(1, *dim));
        tensor.int(2, 1);
        tensor.text(8, name);
        place.text(1, "location");
        place.text(2, file);
        tensor.message(13, &place);
        tensor.int(14, 1);
        self.body.message(5, &tensor);
        self
    }

    /// A constant of whole numbers, as shapes are.
    pub fn integers(mut self, name: &str, values: &[i64]) -> Self {
        let mut tensor = Message::default();
        tensor.int(1, values.len() as i64);
        tensor.int(2, 7);
        tensor.text(8, name);
        tensor.bytes(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        self.body.message(5, &tensor);
        self
    }

    pub fn node(self, op: &str, inputs: &[&str], output: &str) -> Self {
        self.node_with(op, inputs, output, &[])
    }

    pub fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> Self {
        let mut node = Message::default();
        inputs.iter().for_each(|input| node.text(1, input));
        node.text(2, output);
        node.text(3, &format!("node{}", self.named));
        node.text(4, op);
        for (name, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            match value {
                Attribute::Float(value) => {
                    attribute.float(2, *value);
                    attribute.int(20, 1);
                }
                Attribute::Int(value) => {
                    attribute.int(3, *value);
                    attribute.int(20, 2);
                }
                Attribute::Graph => {
                    attribute.message(6, &Message::default());
                    attribute.int(20, 5);
                }
                Attribute::Ints(values) => {
                    values.iter().for_each(|value| attribute.int(8, *value));
                    attribute.int(20, 7);
                }
            }
            node.message(5, &attribute);
        }
        self.named += 1;
        self.body.message(1, &node);
        self
    }

    /// The ONNX file.
    pub fn finish(mut self) -> Vec<u8> {
        self.body.text(2, "test");
        let mut opset = Message::default();
        opset.text(1, "");
        opset.int(2, 17);
        let mut model = Message::default();
        model.int(1, 8);
        model.message(7, &self.body);
        model.message(8, &opset);
        model.0
    }
}

fn value_info(name: &str, shape: &[i64]) -> Message {
    let (mut dims, mut tensor, mut kind, mut info) =
        (Message::default(), Message::default(), Message::default(), Message::default());
    for (axis, dim) in shape.iter().enumerate() {
        let mut one = Message::default();
        match dim {
            0 => one.text(2, &format!("{name}_{axis}")),
            _ => one.int(1, *dim),
        }
        dims.message(1, &one);
    }
    tensor.int(1, 1);
    tensor.message(2, &dims);
    kind.message(1, &tensor);
    info.text(1, name);
    info.message(2, &kind);
    info
}

/// A message of the protocol-buffer wire format.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(&mut self, field: u64, value: i64) {
        self.varint(field << 3);
        self.varint(value as u64);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}
