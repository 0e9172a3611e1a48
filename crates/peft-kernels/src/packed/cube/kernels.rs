//! The kernel that unpacks, a unit for each word, and how it is launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::{Form, Meaning, UnpackKernels, What};
use crate::cube::launch::{address, contiguous, over_units, room};
use crate::profile;

impl UnpackKernels for CubeBackend {
    fn unpack_codes(
        words: CubeTensor,
        lines: CubeTensor,
        ids: CubeTensor,
        what: What,
    ) -> CubeTensor {
        let ids = contiguous(ids);
        let [rows, columns] = what.dims;
        let _call = profile::call("unpack on cube", &[], 2 * rows * columns);
        let values = room(&lines, what.dims, what.dtype);
        let client = values.client.clone();
        let words_of_row = columns.div_ceil(32 / what.form.bits);
        let (cubes, units) = over_units(&client, rows * words_of_row);
        unpack_kernel::launch(
            &client,
            cubes,
            units,
            address(&[&words, &values]),
            words.into_tensor_arg(),
            lines.into_tensor_arg(),
            ids.clone().into_tensor_arg(),
            values.clone().into_tensor_arg(),
            words_of_row,
            what.form,
            what.by_ids,
            [ids.dtype, what.dtype].map(dtype_to_storage_type),
        );
        values
    }
}

#[cube(launch, address_type = "dynamic")]
fn unpack_kernel<I: Int, F: Float>(
    words: &Tensor<i32>,
    lines: &Tensor<f32>,
    ids: &Tensor<I>,
    values: &mut Tensor<F>,
    words_of_row: usize,
    #[comptime] form: Form,
    #[comptime] by_ids: bool,
    #[define(I, F)] _dtypes: [ElemType; 2],
) {
    let (row, place) = (ABSOLUTE_POS / words_of_row, ABSOLUTE_POS % words_of_row);
    if row >= values.shape(0) {
        terminate!();
    }
    let mut stored = row;
    if comptime!(by_ids) {
        // A negative id is a large one.
        stored = usize::cast_from(u32::cast_from(ids[row]));
    }
    let columns = values.shape(1);
    let codes_of_word = comptime!(32 / form.bits);
    let is_there = stored < words.len() / words_of_row;
    let mut word = 0u32;
    if is_there {
        word = u32::cast_from(words[stored * words_of_row + place]);
    }
    #[unroll]
    for at in 0..codes_of_word {
        let column = place * codes_of_word + at;
        if column < columns {
            let shift = comptime!((at * form.bits) as u32);
            let mask = comptime!(u32::MAX >> (32 - form.bits as u32));
            let code = (word >> shift) & mask;
            // NaN; WGSL refuses the constant.
            let mut value = f32::reinterpret(u32::cast_from(row) | 0x7fc0_0000u32);
            if is_there {
                value = meant(code, lines, stored * columns + column, form);
            }
            values[row * columns + column] = F::cast_from(value);
        }
    }
}

/// The value of a code.
#[cube]
fn meant(code: u32, lines: &Tensor<f32>, index: usize, #[comptime] form: Form) -> f32 {
    match comptime!(form.meaning) {
        Meaning::Bf16 => f32::reinterpret(code << 16u32),
        Meaning::F16 => half_precision(code),
        Meaning::Line => {
            let group = index / comptime!(form.group);
            let groups = lines.len() / 2;
            lines[group] * f32::cast_from(code) + lines[groups + group]
        }
        Meaning::Table => {
            let group = index / comptime!(form.group);
            let table = lines.len() - 16;
            lines[group] * lines[table + usize::cast_from(code)]
        }
    }
}

/// A number of half precision, given its bits.
#[cube]
fn half_precision(bits: u32) -> f32 {
    let sign = (bits & 0x8000u32) << 16u32;
    let rest = (bits & 0x7fffu32) << 13u32;
    // Exponents of half precision begin 112 below those of f32.
    let mut magnitude = rest + comptime!(112u32 << 23);
    if rest < comptime!(1u32 << 23) {
        // Subnormal: a fraction of the least normal number.
        let least = comptime!(113u32 << 23);
        let fraction = f32::reinterpret(rest + least) - f32::reinterpret(least.runtime());
        magnitude = u32::reinterpret(fraction);
    } else if rest >= comptime!(0x1fu32 << 23) {
        magnitude = rest | 0x7f80_0000u32;
    }
    f32::reinterpret(sign | magnitude)
}
