//! The kernels of the gate, and how they are launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::SiluMulKernels;
use crate::cube::launch::{address, contiguous, in_place_of, lanes, over_units, room};
use crate::profile;

impl SiluMulKernels for CubeBackend {
    fn silu_mul_forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        let (gate, up) = (contiguous(gate), contiguous(up));
        let count = gate.meta.num_elements();
        let _call = profile::call("silu mul on cube", &[], 3 * count);
        let (client, dtype, lanes) = (gate.client.clone(), gate.dtype, lanes(&gate));
        let y = room(&gate, gate.meta.shape().clone(), dtype);
        let (cubes, units) = over_units(&client, count / lanes);
        silu_mul_kernel::launch(
            &client,
            cubes,
            units,
            address(&[&gate]),
            lanes,
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            dtype_to_storage_type(dtype),
        );
        y
    }

    fn silu_mul_backward(
        grad: CubeTensor,
        gate: CubeTensor,
        up: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let [grad, gate, up] = [grad, gate, up].map(contiguous);
        let count = gate.meta.num_elements();
        let _call = profile::call("silu mul backward on cube", &[], 5 * count);
        let (client, dtype, lanes) = (gate.client.clone(), gate.dtype, lanes(&gate));
        let d_gate = in_place_of(&grad, 0);
        let d_up = room(&gate, gate.meta.shape().clone(), dtype);
        let (cubes, units) = over_units(&client, count / lanes);
        silu_mul_gradients::launch(
            &client,
            cubes,
            units,
            address(&[&gate]),
            lanes,
            grad.into_tensor_arg(),
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            d_gate.argument,
            d_up.clone().into_tensor_arg(),
            dtype_to_storage_type(dtype),
        );
        (d_gate.tensor, d_up)
    }
}

#[cube]
fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::new(1.0f32);
    one / (one + (-x).exp())
}

#[cube(launch, address_type = "dynamic")]
fn silu_mul_kernel<F: Float, N: Size>(
    gate: &Tensor<Vector<F, N>>,
    up: &Tensor<Vector<F, N>>,
    y: &mut Tensor<Vector<F, N>>,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= y.len() {
        terminate!();
    }
    let x = Vector::<f32, N>::cast_from(gate[at]);
    let factor = Vector::<f32, N>::cast_from(up[at]);
    y[at] = Vector::cast_from(x * sigmoid::<N>(x) * factor);
}

#[cube(launch, address_type = "dynamic")]
fn silu_mul_gradients<F: Float, N: Size>(
    grad: &Tensor<Vector<F, N>>,
    gate: &Tensor<Vector<F, N>>,
    up: &Tensor<Vector<F, N>>,
    d_gate: &mut Tensor<Vector<F, N>>,
    d_up: &mut Tensor<Vector<F, N>>,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= d_up.len() {
        terminate!();
    }
    let g = Vector::<f32, N>::cast_from(grad[at]);
    let x = Vector::<f32, N>::cast_from(gate[at]);
    let factor = Vector::<f32, N>::cast_from(up[at]);
    let s = sigmoid::<N>(x);
    let one = Vector::new(1.0f32);
    d_gate[at] = Vector::cast_from(g * factor * s * (one + x * (one - s)));
    d_up[at] = Vector::cast_from(g * x * s);
}
