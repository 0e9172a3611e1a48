//! The bytes of a header.

use crate::header::{MAGIC, VERSION};
use crate::{Array, Metadata, TensorInfo, Value};

/// Everything before the data, without the zeros behind it.
pub(super) fn header(metadata: &Metadata, tensors: &[TensorInfo]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    length(&mut out, tensors.len());
    length(&mut out, metadata.len());
    for (key, value) in metadata.iter() {
        text(&mut out, key);
        out.extend((value.kind() as u32).to_le_bytes());
        single(&mut out, value);
    }
    for info in tensors {
        text(&mut out, info.name());
        out.extend((info.shape().len() as u32).to_le_bytes());
        let inside_out = info.shape().iter().rev();
        inside_out.for_each(|length| out.extend(length.to_le_bytes()));
        out.extend(info.kind().id().to_le_bytes());
        out.extend(info.offset.to_le_bytes());
    }
    out
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend((length as u64).to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend(text.as_bytes());
}

fn single(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(value) => out.extend(value.to_le_bytes()),
        Value::I8(value) => out.extend(value.to_le_bytes()),
        Value::U16(value) => out.extend(value.to_le_bytes()),
        Value::I16(value) => out.extend(value.to_le_bytes()),
        Value::U32(value) => out.extend(value.to_le_bytes()),
        Value::I32(value) => out.extend(value.to_le_bytes()),
        Value::U64(value) => out.extend(value.to_le_bytes()),
        Value::I64(value) => out.extend(value.to_le_bytes()),
        Value::F32(value) => out.extend(value.to_le_bytes()),
        Value::F64(value) => out.extend(value.to_le_bytes()),
        Value::Bool(value) => out.push((*value).into()),
        Value::Text(value) => text(out, value),
        Value::Array(values) => {
            out.extend((values.kind() as u32).to_le_bytes());
            length(out, values.len());
            items(out, values);
        }
    }
}

fn items(out: &mut Vec<u8>, values: &Array) {
    match values {
        Array::U8(values) => out.extend(values),
        Array::I8(values) => numbers(out, values, i8::to_le_bytes),
        Array::U16(values) => numbers(out, values, u16::to_le_bytes),
        Array::I16(values) => numbers(out, values, i16::to_le_bytes),
        Array::U32(values) => numbers(out, values, u32::to_le_bytes),
        Array::I32(values) => numbers(out, values, i32::to_le_bytes),
        Array::U64(values) => numbers(out, values, u64::to_le_bytes),
        Array::I64(values) => numbers(out, values, i64::to_le_bytes),
        Array::F32(values) => numbers(out, values, f32::to_le_bytes),
        Array::F64(values) => numbers(out, values, f64::to_le_bytes),
        Array::Bool(values) => out.extend(values.iter().map(|value| u8::from(*value))),
        Array::Text(texts) => texts.iter().for_each(|item| text(out, item)),
    }
}

fn numbers<const N: usize, T: Copy>(out: &mut Vec<u8>, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
    values.iter().for_each(|value| out.extend(bytes(*value)));
}
