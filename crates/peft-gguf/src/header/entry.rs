//! One entry of the metadata.

use std::io::Read;

use super::cursor::Cursor;
use crate::value::ValueType;
use crate::{Array, FormatError, Part, Value};

/// The fewest bytes of an entry: the length of a key, one letter, a type and a value of one byte.
pub(super) const LEAST_BYTES: u64 = 8 + 1 + 4 + 1;
/// The longest key, that of the specification.
pub(crate) const LONGEST_KEY: u64 = 65_535;

/// Reads a key and its value.
pub(super) fn read(
    cursor: &mut Cursor<impl Read>,
    number: u64,
) -> Result<(String, Value), FormatError> {
    let part = Part::Key(number);
    let key = cursor.text(&part)?;
    check_key(&key, part)?;
    let part = Part::Value(key.clone());
    let kind = kind(cursor, &key, &part)?;
    let value = match kind {
        ValueType::Array => Value::Array(array(cursor, &key, &part)?),
        ValueType::Text => Value::Text(cursor.text(&part)?),
        ValueType::Bool => Value::Bool(bool(cursor.bytes(&part)?, &key)?),
        ValueType::U8 => Value::U8(u8::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.bytes(&part)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.bytes(&part)?)),
    };
    Ok((key, value))
}

/// Fails for a key that no reader takes.
pub(crate) fn check_key(key: &str, part: Part) -> Result<(), FormatError> {
    let bytes = key.len() as u64;
    if (1..=LONGEST_KEY).contains(&bytes) {
        return Ok(());
    }
    Err(FormatError::NameLength {
        part,
        bytes,
        most: LONGEST_KEY,
    })
}

fn kind(cursor: &mut Cursor<impl Read>, key: &str, part: &Part) -> Result<ValueType, FormatError> {
    let found = cursor.u32(part)?;
    ValueType::from_id(found).ok_or_else(|| FormatError::ValueType {
        key: key.to_owned(),
        found,
    })
}

fn bool([byte]: [u8; 1], key: &str) -> Result<bool, FormatError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(FormatError::Bool {
            key: key.to_owned(),
            found,
        }),
    }
}

fn array(cursor: &mut Cursor<impl Read>, key: &str, part: &Part) -> Result<Array, FormatError> {
    Ok(match kind(cursor, key, part)? {
        ValueType::Array => {
            return Err(FormatError::NestedArray {
                key: key.to_owned(),
            });
        }
        ValueType::Text => Array::Text(cursor.texts(part)?),
        ValueType::Bool => {
            let bytes = cursor.numbers(u8::from_le_bytes, part)?;
            let bools = bytes.into_iter().map(|byte| bool([byte], key));
            Array::Bool(bools.collect::<Result<_, _>>()?)
        }
        ValueType::U8 => Array::U8(cursor.numbers(u8::from_le_bytes, part)?),
        ValueType::I8 => Array::I8(cursor.numbers(i8::from_le_bytes, part)?),
        ValueType::U16 => Array::U16(cursor.numbers(u16::from_le_bytes, part)?),
        ValueType::I16 => Array::I16(cursor.numbers(i16::from_le_bytes, part)?),
        ValueType::U32 => Array::U32(cursor.numbers(u32::from_le_bytes, part)?),
        ValueType::I32 => Array::I32(cursor.numbers(i32::from_le_bytes, part)?),
        ValueType::U64 => Array::U64(cursor.numbers(u64::from_le_bytes, part)?),
        ValueType::I64 => Array::I64(cursor.numbers(i64::from_le_bytes, part)?),
        ValueType::F32 => Array::F32(cursor.numbers(f32::from_le_bytes, part)?),
        ValueType::F64 => Array::F64(cursor.numbers(f64::from_le_bytes, part)?),
    })
}
